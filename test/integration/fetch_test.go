package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// agentSteps is an agent that goes on when it is told to.
const agentSteps = `#!/bin/bash
exec 2>&1 </dev/null
set -e
step() { touch ~/did-$1; while [ ! -e ~/go-$1 ]; do sleep 0.05; done; }
git config user.name agent; git config user.email agent@bottle
git checkout -q -b side; echo side >side; git add side; git commit -qm side
git checkout -q main; echo wish >>tracked; git commit -qam main
echo dirty >>tracked; echo untracked >untracked; echo mine >ignored
step one
git commit -qam "no longer dirty"
step two
`

// hostRepository makes the user's project a repository with that program for claude.
func hostRepository(t *testing.T, u *bottletest.User, program string) {
	t.Helper()
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+bottletest.DefaultImage+"\nenv: {PATH: \"/workspace/bin:"+path+"\"}\n---\n")
	u.Write("project/bin/claude", program)
	if err := os.Chmod(filepath.Join(u.Cwd, "bin", "claude"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	u.Write("project/tracked", "went in\n")
	u.Write("project/.gitignore", "ignored\n")
	bottletest.Git(t, u.Cwd, "init", "-q", "-b", "main")
	bottletest.Git(t, u.Cwd, "add", "-A")
	bottletest.Git(t, u.Cwd, "-c", "user.name=user", "-c", "user.email=user@example.com", "commit", "-q", "-m", "went in")
}

// inHome is a file in the home directory of the one bottle, or "".
func inHome(u *bottletest.User, name string) string {
	found, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "tester-*", "home", name))
	return strings.Join(found, "")
}

// letGo lets the agent go on.
func letGo(t *testing.T, u *bottletest.User, step string) {
	t.Helper()
	home := strings.TrimSuffix(inHome(u, "did-"+step), "did-"+step)
	if err := os.WriteFile(home+"go-"+step, nil, 0o644); err != nil { //nolint:gosec // the agent looks at it
		t.Fatal(err)
	}
}

func TestWorkIsFetchedWhileTheBottleRunsAndAfterItWasKilled(t *testing.T) {
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRepository(t, u, agentSteps)
		start := u.Command("start", "tester", "--yes", "--quiet", "--cwd", "--runtime", runtime)
		var said bytes.Buffer
		start.Stdout, start.Stderr = &said, &said
		if err := start.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- start.Wait() }()
		bottletest.Eventually(t, "the agent's first step", func() bool { return inHome(u, "did-one") != "" })

		fetched := u.Run("fetch", "tester").Want(t, 0)
		bottletest.Contains(t, fetched.Stdout, "[new branch]", "refs/bottle/tester/heads/main", "refs/bottle/tester/heads/side", "[new ref]", "refs/bottle/tester/uncommitted", "   ignored\n")
		bottletest.Contains(t, fetched.Stderr, "git -C "+u.Cwd+" merge refs/bottle/tester/heads/main")
		if got := bottletest.Git(t, u.Cwd, "show", "refs/bottle/tester/uncommitted:tracked"); got != "went in\nwish\ndirty" {
			t.Errorf("not committed is %q", got)
		}
		// Who looks with other flags sees no lock, and takes nobody's life for that.
		elsewhere := []string{"--root", t.TempDir(), "--run-root", t.TempDir()}
		u.Run(append(elsewhere, "cleanup", "--yes")...)
		bottletest.Contains(t, u.Run(append(elsewhere, "fetch", "tester")...).Want(t, 1).Stderr, "another --root", u.Root)
		letGo(t, u, "one")
		bottletest.Eventually(t, "the agent's second step", func() bool { return inHome(u, "did-two") != "" })
		again := u.Run("fetch", "tester", "-o", "json").Want(t, 0)
		bottletest.Contains(t, again.Stdout, `"how": "fast-forward"`, `"how": "same"`, `"branch": "refs/bottle/tester/heads/main"`)
		if got := bottletest.Git(t, u.Cwd, "show", "refs/bottle/tester/heads/main:tracked"); got != "went in\nwish\ndirty" {
			t.Errorf("main is %q", got)
		}
		for _, pid := range u.Supervisors() {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; err == nil {
			t.Error("the session ends well though its supervisor was killed")
		}
		if err := os.WriteFile(filepath.Join(keptWorkspace(t, u), "late"), []byte("late\n"), 0o644); err != nil { //nolint:gosec // as the agent would
			t.Fatal(err)
		}
		kept := u.Run("fetch", "tester").Want(t, 0)
		bottletest.Contains(t, kept.Stdout, "From bottle tester@", "[up to date]", "forced update")
		if got := bottletest.Git(t, u.Cwd, "show", "refs/bottle/tester/uncommitted:late"); got != "late" {
			t.Errorf("the late file is %q", got)
		}
		merge := u.Run("merge", "tester", "side").Want(t, 0)
		if want := "git -C " + u.Cwd + " merge refs/bottle/tester/heads/side\n"; merge.Stdout != want {
			t.Errorf("merge prints %q", merge.Stdout)
		}
		if out, err := exec.Command("sh", "-c", merge.Stdout).CombinedOutput(); err != nil { //nolint:noctx // short
			t.Errorf("%s: %v: %s", merge.Stdout, err, out)
		}
		bottletest.Git(t, u.Cwd, "fsck", "--strict")
		if u.Run("merge", "tester", "none").Code != 1 {
			t.Error("a branch that is none is merged")
		}
	})
}

// keptWorkspace is the workspace of the one bottle.
func keptWorkspace(t *testing.T, u *bottletest.User) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "tester-*", "workspace"))
	if len(found) != 1 {
		t.Fatalf("workspaces are %v", found)
	}
	return found[0]
}
