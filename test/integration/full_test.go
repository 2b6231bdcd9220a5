package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"golang.org/x/sys/unix"
)

// TestF17_ADiskThatIsFullLosesNothing: the agent fills the disk that workspace and
// state lie on. What it had written before stays, the bottle ends as ever, a resume
// that does not fit says where and leaves all as it was, and with room it goes on.
func TestF17_ADiskThatIsFullLosesNothing(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		onSmallDisk(t, u.Root, "size=16m", func() {
			repository(t, u)
			does(u, "seq 100000 > before; dd if=/dev/zero of=fill bs=64k 2>/dev/null; echo no-room; printf x > after; test -s after || echo nothing-after; printf '%040d\\n' 7 > .git/refs/heads/late")
			r := u.Start(runtime, "--cwd", "--quiet")
			bottletest.Contains(t, r.Stdout, "no-room", "nothing-after")
			bottletest.Contains(t, r.Stderr, "unsaved, kept as tester@")
			idle(t, u)
			state := only(t, u.Root, "tester")
			before := contentOf(t, filepath.Join(state, "workspace", "before"))
			if !strings.HasPrefix(before, "1\n2\n") || !strings.HasSuffix(before, "\n100000\n") {
				t.Errorf("what was written before is %d bytes", len(before))
			}
			u.NothingLeft(t, "a full disk")
			u.Run("cleanup", "--yes").Want(t, 0)
			u.Run("rm", "tester").Want(t, 4)

			plan := contentOf(t, filepath.Join(state, "plan.json"))
			r = u.Run("resume", "tester", "--yes", "--quiet").Want(t, 125)
			bottletest.Contains(t, r.Stderr, "no space left on device", state)
			idle(t, u)
			if contentOf(t, filepath.Join(state, "plan.json")) != plan || contentOf(t, filepath.Join(state, "workspace", "before")) != before {
				t.Error("a resume that failed has changed what was kept")
			}

			if err := unix.Mount("none", u.Root, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
			does(u, "tail -1 before; echo more > more")
			r = u.Run("resume", "tester", "--yes", "--quiet").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "100000")
			idle(t, u)
			u.Run("rm", "tester", "--discard").Want(t, 0)
		})
	})
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
