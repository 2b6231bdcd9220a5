package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestForksStartFromTheSameWork: forks of a kept and of a running bottle have its
// files, conversation and unsaved work, belong to users of their own, share no file
// with it, and go on by themselves.
func TestForksStartFromTheSameWork(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		repository(t, u)
		u.Write("project/then", "then\n")
		does(u, "echo now > then; echo one > one.txt; mkfifo pipe; ln -s /etc/shadow link; mkdir -p ~/.claude/projects/-workspace; echo {} > ~/.claude/projects/-workspace/1.jsonl; echo one-is-written; cat")
		s := u.OnTerminal("start", "tester", "--cwd", "--yes", "--quiet", "--runtime", runtime)
		s.Shows("one-is-written")
		r := u.Run("fork", "tester", "--name", "live").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "live-1@", "claude-bottle resume live-1@")
		s.Types("\x04")
		s.Ends()
		idle(t, u)
		u.Run("fork", "tester", "--count", "2").Want(t, 0)

		original := only(t, u.Root, "tester")
		wide := u.Run("list", "-o", "wide").Want(t, 0).Stdout
		owners := map[uint32]bool{}
		for _, name := range []string{"tester", "live-1", "tester-1", "tester-2"} {
			state := only(t, u.Root, name)
			workspace := filepath.Join(state, "workspace")
			if got := contentOf(t, filepath.Join(workspace, "one.txt")) + contentOf(t, filepath.Join(workspace, "main.go")); got != "one\npackage main\n" {
				t.Errorf("%s holds %q", name, got)
			}
			if target, err := os.Readlink(filepath.Join(workspace, "link")); err != nil || target != "/etc/shadow" {
				t.Errorf("%s: the link is %q, %v", name, target, err)
			}
			stat := statOf(t, filepath.Join(workspace, "one.txt"))
			if owners[stat.Uid] || stat.Nlink != 1 || state != original && stat.Ino == statOf(t, filepath.Join(original, "workspace", "one.txt")).Ino {
				t.Errorf("%s: one.txt is shared: %+v", name, stat)
			}
			owners[stat.Uid] = true
			for line := range strings.Lines(wide) {
				if strings.HasPrefix(line, name+"@") {
					bottletest.Contains(t, line, "changed files: ", "one.txt", "link")
					if strings.Contains(line, "main.go") || strings.Contains(line, "unknown") {
						t.Errorf("what went in counts as work: %s", line)
					}
				}
			}
		}
		want := u.Run("diff", "tester").Want(t, 0).Stdout
		bottletest.Contains(t, want, "-then\n+now\n")
		for _, name := range []string{"live-1", "tester-1"} {
			if got := u.Run("diff", name).Want(t, 0).Stdout; got != want {
				t.Errorf("the diff of %s is\n%s\nwant\n%s", name, got, want)
			}
		}
		bottle(u, "env:", "  FAKE_CLAUDE_PRINT: args", fmt.Sprintf("  FAKE_CLAUDE_RUN: %q", "cat one.txt; echo two > two.txt"))
		r = u.Run("resume", "tester-2", "--yes", "--quiet").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "[--continue]", "one")
		bottletest.Contains(t, r.Stderr, "two.txt")
		idle(t, u)
		if _, err := os.Lstat(filepath.Join(only(t, u.Root, "tester-1"), "workspace", "two.txt")); err == nil {
			t.Error("a fork sees what another one writes")
		}
		u.Run("rm", "--discard", "tester", "live-1", "tester-1", "tester-2").Want(t, 0)
		u.Run("fork", "tester").Want(t, 1)
		u.Run("fork", "tester", "--count", "0").Want(t, 2)
	})
}

// TestF17_AForkThatDoesNotFitLeavesNothing but the original.
func TestF17_AForkThatDoesNotFitLeavesNothing(t *testing.T) {
	u := newUser(t, "2.4")
	onSmallDisk(t, u.Root, "size=16m", func() {
		does(u, "seq 1500000 > large") // more than half of it
		u.Start("runc", "--quiet").Want(t, 0)
		idle(t, u)
		r := u.Run("fork", "tester").Want(t, 1)
		bottletest.Contains(t, r.Stderr, "fork tester@", "no space left on device", only(t, u.Root, "tester"))
		if all := list(t, u); len(all) != 1 {
			t.Errorf("there is %+v", all)
		}
		u.NothingLeft(t, "a fork that did not fit")
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

func statOf(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return &stat
}
