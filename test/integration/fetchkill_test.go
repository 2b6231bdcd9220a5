package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// stuck is an agent whose repository makes each git add wait for ever.
const stuck = `#!/bin/bash
set -e
git config user.name agent; git config user.email agent@bottle
git checkout -q -b side; echo wish >>tracked; git commit -qam wish
git config filter.stuck.clean "touch /workspace/begun; sleep 1000"; echo '* filter=stuck' >.git/info/attributes
echo dirty >>tracked
`

// sums are hashes of all that is kept of the one bottle.
func sums(t *testing.T, u *bottletest.User) string {
	t.Helper()
	script := "cd " + filepath.Dir(keptWorkspace(t, u)) + " && find . -type f ! -name begun -print0 | sort -z | xargs -0 sha256sum"
	out, err := exec.Command("sh", "-c", script).CombinedOutput() //nolint:noctx // short
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestF2_AFetchThatIsKilledLeavesTheKeptWorkAndNothingElse(t *testing.T) {
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRepository(t, u, stuck)
		u.Start(runtime, "--quiet", "--cwd").Want(t, 0)
		idle(t, u)
		before := sums(t, u)
		begun := filepath.Join(keptWorkspace(t, u), "begun")
		for _, test := range []struct {
			name        string
			signal      syscall.Signal
			supervisors bool
		}{{"interrupted", syscall.SIGINT, false}, {"killed", syscall.SIGKILL, false}, {"killed with its supervisor", syscall.SIGKILL, true}} {
			if err := os.RemoveAll(begun); err != nil {
				t.Fatal(err)
			}
			command := u.Command("fetch", "tester")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			bottletest.Eventually(t, "git at work inside", func() bool { _, err := os.Stat(begun); return err == nil })
			if r := u.Run("fetch", "tester"); r.Code != 1 || !strings.Contains(r.Stderr, "in use") {
				t.Errorf("%s: another fetch at the same time: %d, %s", test.name, r.Code, r.Stderr)
			}
			pids := []int{command.Process.Pid}
			if test.supervisors {
				pids = append(pids, u.Supervisors()...)
			}
			for _, pid := range pids {
				_ = syscall.Kill(pid, test.signal) // it may have ended with the one before it
			}
			if err := command.Wait(); err == nil {
				t.Errorf("%s: it ends well", test.name)
			}
			bottletest.Eventually(t, test.name+": an end of the helper's supervisor", func() bool { return len(u.Supervisors()) == 0 })
			if test.signal == syscall.SIGKILL {
				u.Run("cleanup", "--yes").Want(t, 0)
			}
			u.NothingLeft(t, "a fetch that was "+test.name)
			if states, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(states) != 1 {
				t.Errorf("%s: there are %v", test.name, states)
			}
			if after := sums(t, u); after != before {
				t.Errorf("%s: kept were\n%s\nare\n%s", test.name, before, after)
			}
			if refs := bottletest.Git(t, u.Cwd, "for-each-ref", "refs/bottle"); refs != "" {
				t.Errorf("%s: refs %s", test.name, refs)
			}
		}
		if err := os.Remove(filepath.Join(keptWorkspace(t, u), ".git/info/attributes")); err != nil {
			t.Fatal(err)
		}
		u.Run("fetch", "tester").Want(t, 0)
		if got := bottletest.Git(t, u.Cwd, "show", "refs/bottle/tester/uncommitted:tracked"); got != "went in\nwish\ndirty" {
			t.Errorf("not committed is %q", got)
		}
	})
}
