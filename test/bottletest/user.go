// Package bottletest gives a test a user of claude-bottle: a home, a project,
// roots of their own, a fake API and the program as it was built. It checks at
// the end of each test that nothing is left of any bottle. No program imports it.
package bottletest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// Key is what the host holds and a bottle must never see.
const Key = "sk-ant-api03-canary-5f1d7c22b9e04c8c9d55aa37e1"

// Ready is in the footer of claude's prompt once it takes keys.
const Ready = "shift+tab"

// Runtimes are the two that every promise holds under.
func Runtimes() []string { return []string{"gvisor", "runc"} }

// Options choose what a user has.
type Options struct {
	// Daemon is the containerd to use, with the image in its namespace.
	Daemon *containerdtest.Daemon
	// Image is the bottle's; "" takes the default one.
	Image string
	// Turns are what the API answers.
	Turns []anthropic.Turn
	// Key is the one credential that the API takes; "" is Key.
	Key string
}

// Namespace is where the program keeps its bottles unless it is told otherwise.
const Namespace = "claude-bottle"

// DefaultImage holds the real claude.
const DefaultImage = "docker.io/claude-bottle/default:latest"

// User is one user on one machine: a home directory, roots of their own, and a
// fake API.
type User struct {
	testing.TB
	Daemon *containerdtest.Daemon
	API    *anthropic.Server
	// Binary is the program; Home, Cwd, Root and RunRoot are its user's.
	Binary, Home, Cwd, Root, RunRoot string

	before containerdtest.Ledger
	came   time.Time // on the clock of the file system
	key    string
}

// New starts everything that a test needs, and checks at its end that
// nothing is left of any bottle.
func New(t testing.TB, options Options) *User {
	t.Helper()
	if options.Image == "" {
		options.Image = DefaultImage
	}
	binary := filepath.Join(filepath.Dir(options.Daemon.Libexec), "bin", "claude-bottle")
	dir := t.TempDir()
	u := &User{
		TB: t, Daemon: options.Daemon, Binary: binary,
		Home: filepath.Join(dir, "home"), Cwd: filepath.Join(dir, "project"),
		Root: filepath.Join(dir, "lib"), RunRoot: runDirectory(t),
	}
	for _, path := range []string{u.Home, u.Cwd} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if u.key = options.Key; u.key == "" {
		u.key = Key
	}
	u.API = anthropic.New(anthropic.Options{Key: u.key, Turns: options.Turns})
	t.Cleanup(u.API.Close)
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+options.Image+"\nruntime: runc\n---\n")
	u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\n---\n")
	if info, err := os.Stat(filepath.Join(u.Home, ".claude-bottle")); err == nil {
		u.came = info.ModTime()
	}
	u.before = u.Daemon.Ledger(u.TB, u.RunRoot)
	t.Cleanup(u.checkNothingLeft)
	return u
}

// runDirectory is short, for sockets have short paths, and memory-backed as
// /run is.
func runDirectory(t testing.TB) string {
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

// Write puts a file below the directory that Home and Cwd lie in.
func (u *User) Write(path, text string) {
	u.Helper()
	full := filepath.Join(filepath.Dir(u.Home), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		u.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		u.Fatal(err)
	}
}

// Command is the program with the user's roots before the verb.
func (u *User) Command(args ...string) *exec.Cmd {
	full := append([]string{"--address", u.Daemon.Address, "--root", u.Root, "--run-root", u.RunRoot}, args...)
	command := exec.Command(u.Binary, full...) //nolint:noctx // ended by the test itself, by signals that it chooses
	command.Dir = u.Cwd
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.Home, "TERM=xterm-256color", "LANG=C.UTF-8",
		"ANTHROPIC_API_KEY=" + u.key, "ANTHROPIC_BASE_URL=" + u.API.URL(),
	}
	return command
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs the program without a terminal, bounded.
func (u *User) Run(args ...string) Result {
	u.Helper()
	return u.RunCommand(u.Command(args...))
}

// RunCommand is Run for a command that was changed.
func (u *User) RunCommand(command *exec.Cmd) Result {
	u.Helper()
	return u.RunWithin(command, Patience)
}

// RunWithin is RunCommand for one that may take longer, or must not.
func (u *User) RunWithin(command *exec.Cmd, limit time.Duration) Result {
	u.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Start(); err != nil {
		u.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(u.Context(), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGKILL) })
	defer stop()
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		u.Fatalf("run %v: %v", command.Args, err)
	}
	if ctx.Err() != nil {
		u.Fatalf("%v did not end in time\nstdout: %s\nstderr: %s", command.Args, stdout.String(), stderr.String())
	}
	return Result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// Start starts a bottle without a terminal and returns how claude ended.
func (u *User) Start(runtime string, args ...string) Result {
	u.Helper()
	return u.Run(append([]string{"start", "tester", "--yes", "--runtime", runtime}, args...)...)
}

// Want fails unless the command ended with that code.
func (r Result) Want(t testing.TB, code int) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}
