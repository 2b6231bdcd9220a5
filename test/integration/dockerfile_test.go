package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// standIn puts a program in the place of buildctl, which answers as it does: progress on
// its standard error, an archive of the OCI on the standard output. It fails when the
// Dockerfile is to, and goes on for ever when that is to.
func standIn(t *testing.T, u *bottletest.User) func(args ...string) *exec.Cmd {
	t.Helper()
	bin := filepath.Join(filepath.Dir(u.Home), "bin")
	u.Write("bin/buildctl", `#!/bin/sh
echo "$@" >> "$HOME/asked"
echo "#1 [internal] load build definition from Dockerfile" >&2
if grep -q fail "$HOME/web/Dockerfile"; then echo "error: failed to solve: exit code: 7" >&2; exit 1; fi
if grep -q endless "$HOME/web/Dockerfile"; then echo $$ > "$HOME/pid"; exec tail -f /dev/null; fi
exec cat `+filepath.Join(u.Daemon.Libexec, "images", "test.tar")+"\n")
	if err := os.Chmod(filepath.Join(bin, "buildctl"), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	socket := filepath.Join(u.RunRoot, "d.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return func(args ...string) *exec.Cmd {
		command := u.Command(args...)
		command.Env = append(command.Env, "PATH="+bin+":/usr/bin:/bin", "BUILDKIT_HOST=unix://"+socket)
		return command
	}
}

// TestT9_AStartBuildsTheDockerfileOfItsBottle: with a stand-in for buildctl; `make
// dockerfile` has BuildKit itself.
func TestT9_AStartBuildsTheDockerfileOfItsBottle(t *testing.T) {
	u := newUser(t, "2.4")
	command := standIn(t, u)
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {dockerfile: ~/web/Dockerfile, args: {A: b}}\nruntime: runc\nenv: {FAKE_CLAUDE_RUN: echo inside}\n---\n")
	u.Write("home/web/Dockerfile", "FROM scratch\n")
	start := []string{"start", "tester", "--yes"}
	bottletest.Contains(t, u.Run(start...).Want(t, 125).Stderr, "no buildkitd answers", "write a recipe")
	bottletest.Contains(t, u.RunCommand(command("start", "tester", "--dry-run")).Want(t, 125).Stderr,
		"is not built", "`claude-bottle image build default` builds it", "not in a bottle")
	r := u.RunCommand(command(start...)).Want(t, 0)
	bottletest.Contains(t, r.Stdout, "inside\n")
	bottletest.Contains(t, r.Stderr, "argument   A=b", "#1 [internal] load build definition", "claude-bottle.localhost/default:latest@sha256:")
	asked := func() int {
		text, err := os.ReadFile(filepath.Join(u.Home, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "--opt=filename=Dockerfile")
	}
	u.Run(start...).Want(t, 0) // it is there, and needs no BuildKit
	u.Write("home/web/Dockerfile", "FROM scratch\n# changed\n")
	bottletest.Contains(t, u.Run(start...).Want(t, 0).Stderr, "may not be what its Dockerfile says any more")
	u.RunCommand(command(start...)).Want(t, 0)
	if asked() != 2 {
		t.Errorf("BuildKit was asked %d times", asked())
	}
	u.Write("home/web/Dockerfile", "fail\n")
	build := []string{"image", "build", "-f", u.Home + "/web/Dockerfile", "-t", "local.test/x:1"}
	bottletest.Contains(t, u.RunCommand(command(build...)).Want(t, 1).Stderr, `BuildKit says "failed to solve: exit code: 7"`)
	bottletest.Contains(t, u.RunCommand(command(append(build, "--memory", "1Gi")...)).Want(t, 2).Stderr, "--memory is for recipes")
	u.Write("home/web/Dockerfile", "endless\n")
	endsOnASignal(t, u, command(build...))
	if _, there := imagesOf(t, u)["local.test/x:1"]; there {
		t.Error("a build that failed has left an image")
	}
	u.Run("image", "rm", "claude-bottle.localhost/default:latest").Want(t, 0)
}

// endsOnASignal interrupts a build that is under way.
func endsOnASignal(t *testing.T, u *bottletest.User, command *exec.Cmd) {
	t.Helper()
	ended := make(chan bottletest.Result, 1)
	go func() { ended <- u.RunCommand(command) }()
	var pid []byte
	bottletest.Eventually(t, "the build is under way", func() bool {
		pid, _ = os.ReadFile(filepath.Join(u.Home, "pid"))
		return strings.HasSuffix(string(pid), "\n")
	})
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	(<-ended).Want(t, 130)
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
		t.Error("buildctl outlives the build")
	}
}
