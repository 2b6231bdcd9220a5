package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/anthropic"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// realKey is what the host holds and the bottle must never see.
const realKey = "sk-ant-api03-canary-5f1d7c22b9e04c8c9d55aa37e1"

// runtimes are the two that every promise holds under.
var runtimes = []string{"gvisor", "runc"}

// fixture is one user on one machine: a home directory, roots of their own, and
// a fake API.
type fixture struct {
	*testing.T
	daemon  *containerdtest.Daemon
	api     *anthropic.Server
	binary  string
	home    string
	cwd     string
	root    string
	runRoot string
	before  containerdtest.Ledger
}

// newFixture starts everything that a test needs, and checks at its end that
// nothing is left of any bottle.
func newFixture(t *testing.T, turns ...anthropic.Turn) *fixture {
	t.Helper()
	binary, err := filepath.Abs("../../bin/claude-bottle")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &fixture{
		T: t, daemon: sharedDaemon(t), binary: binary,
		home: filepath.Join(dir, "home"), cwd: filepath.Join(dir, "project"),
		root: filepath.Join(dir, "lib"), runRoot: runDirectory(t),
	}
	for _, path := range []string{f.home, f.cwd} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f.api = anthropic.New(anthropic.Options{Key: realKey, Turns: turns})
	t.Cleanup(f.api.Close)
	f.write("home/.claude-bottle/bottles/default.md", "---\nimage: docker.io/claude-bottle/default:latest\nruntime: runc\n---\n")
	f.write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\n---\n")
	f.before = f.daemon.Ledger(f.T, f.runRoot)
	t.Cleanup(f.checkNothingLeft)
	return f
}

// runDirectory is short, for sockets have short paths, and memory-backed as
// /run is.
func runDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cb") //nolint:usetesting // the path of t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove run directory: %v", err)
		}
	})
	return dir
}

// write puts a file below the fixture's directory.
func (f *fixture) write(path, text string) {
	f.Helper()
	full := filepath.Join(filepath.Dir(f.home), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// command is the binary with the fixture's roots before the verb.
func (f *fixture) command(args ...string) *exec.Cmd {
	full := append([]string{"--address", f.daemon.Address, "--root", f.root, "--run-root", f.runRoot}, args...)
	command := exec.Command(f.binary, full...) //nolint:noctx // ended by the test itself, by signals that it chooses
	command.Dir = f.cwd
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + f.home, "TERM=xterm-256color", "LANG=C.UTF-8",
		"ANTHROPIC_API_KEY=" + realKey, "ANTHROPIC_BASE_URL=" + f.api.URL(),
	}
	return command
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// run runs the binary without a terminal, bounded.
func (f *fixture) run(args ...string) result {
	f.Helper()
	return f.runCommand(f.command(args...))
}

func (f *fixture) runCommand(command *exec.Cmd) result {
	f.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Start(); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGKILL) })
	defer stop()
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.Fatalf("run %v: %v", command.Args, err)
	}
	if ctx.Err() != nil {
		f.Fatalf("%v did not end in time\nstdout: %s\nstderr: %s", command.Args, stdout.String(), stderr.String())
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// start starts a bottle without a terminal and returns how claude ended.
func (f *fixture) start(runtime string, args ...string) result {
	f.Helper()
	return f.run(append([]string{"start", "tester", "--yes", "--runtime", runtime}, args...)...)
}

// want fails unless the command ended with that code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// contains fails unless text holds each of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// eventually waits for a condition; what says what was waited for.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// checkNothingLeft is invariant I1: once the supervisors are done, the ledger is
// as it was before.
func (f *fixture) checkNothingLeft() {
	var left string
	deadline := time.Now().Add(30 * time.Second)
	for {
		left = f.left()
		if left == "" || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if left != "" {
		f.Errorf("I1: left behind:\n%s", left)
	}
}

// left lists what bottles have left: at the daemon, and in the run directory.
func (f *fixture) left() string {
	lines := f.before.Diff(f.daemon.Ledger(f.T, f.runRoot))
	directories, _ := filepath.Glob(filepath.Join(f.runRoot, "*", "bottles", "*"))
	return strings.Join(append(lines, directories...), "\n")
}
