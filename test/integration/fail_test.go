package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"golang.org/x/sys/unix"
)

// onSmallDisk runs what it is given on a small file system at path.
func onSmallDisk(t *testing.T, path, options string, run func()) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(path, 0o711), unix.Mount("none", path, "tmpfs", 0, "mode=711,"+options)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	run()
}

// rolledBack fails unless a start that has failed said why, and left nothing,
// neither at the daemon nor on disk, and nothing that is listed.
func rolledBack(t *testing.T, u *bottletest.User, r bottletest.Result, want ...string) {
	t.Helper()
	if r.Code != 125 || r.Stdout != "" {
		t.Errorf("exit code %d, claude said %q", r.Code, r.Stdout)
	}
	bottletest.Contains(t, r.Stderr, append(want, "claude-bottle: ")...)
	bottletest.Eventually(t, "its supervisor ends", func() bool { return len(u.Supervisors()) == 0 })
	if all := list(t, u); len(all) != 0 {
		t.Errorf("after %s\nthere is listed %+v", r.Stderr, all)
	}
	if states, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(states) != 0 {
		t.Errorf("after %s\nthere is %v", r.Stderr, states)
	}
	u.NothingLeft(t, r.Stderr)
}

// TestF25_F26_EachFileThatCannotBeMade gives each start one file more than the
// last one had, first in the state directory and then in the run directory,
// until one has enough: each of the others fails at another step.
func TestF25_F26_EachFileThatCannotBeMade(t *testing.T) {
	u := newUser(t, "2.4")
	u.Write("project/one", "1")
	u.Write("project/two/three", "3")
	u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\n---\nBe brief.\n")
	does(u, "echo claude runs; exit 7")
	for name, path := range map[string]string{"state": u.Root, "run": u.RunRoot} {
		t.Run(name, func(t *testing.T) {
			// Three are the directories that all bottles share.
			failed, enough := map[string]bool{}, false
			for files := 4; files < 60 && !enough; files++ {
				onSmallDisk(t, path, fmt.Sprintf("nr_inodes=%d", files), func() {
					r := u.Start("runc", "--cwd", "--quiet")
					if enough = r.Code == 7; enough {
						bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
						return
					}
					failed[r.Stderr] = true
					rolledBack(t, u, r, "no space left on device")
				})
			}
			if !enough || len(failed) < 5 {
				t.Errorf("enough: %v, %d different failures", enough, len(failed))
			}
			for text := range failed {
				t.Log(strings.TrimSpace(text))
			}
		})
	}
}

// TestF25_AWorkingDirectoryThatDoesNotFit fails in the middle of provisioning,
// while the sandbox is being made beside it.
func TestF25_AWorkingDirectoryThatDoesNotFit(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		for i := range 100 {
			u.Write(fmt.Sprintf("project/%d", i), strings.Repeat("a wish ", 30<<10))
		}
		does(u, "echo claude runs")
		onSmallDisk(t, u.Root, "size=16m", func() {
			u.Run("start", "tester", "--yes", "--quiet", "--runtime", runtime).Want(t, 0) // the probe has had its room
			bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
			for range 3 {
				r := u.Run("start", "tester", "--yes", "--quiet", "--runtime", runtime, "--cwd")
				rolledBack(t, u, r, "provision", "no space left on device")
			}
		})
	})
}

// TestF25_ARuntimeThatFails has a runc that fails at one command.
func TestF25_ARuntimeThatFails(t *testing.T) {
	switched := filepath.Join(t.TempDir(), "switch")
	u := installed(t, "2.4", map[string]string{
		"runc": "#!/bin/sh\nbroken=$(cat " + switched + " 2>/dev/null)\ncase \" $* \" in *\" ${broken:-nothing} \"*) echo the wish is refused >&2; exit 1;; esac\nexec " + tool(t, "runc") + " \"$@\"\n",
	})
	does(u, "true")
	start := func() bottletest.Result { return u.Start("runc", "--quiet") }
	start().Want(t, 0) // the probe has passed
	bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
	for _, command := range []string{"create", "start"} {
		if err := os.WriteFile(switched, []byte(command), 0o600); err != nil {
			t.Fatal(err)
		}
		rolledBack(t, u, start(), "launch tester: "+command+" task")
	}
	if err := os.Remove(switched); err != nil {
		t.Fatal(err)
	}
	start().Want(t, 0)
}
