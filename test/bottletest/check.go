package bottletest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Contains fails unless text holds each of the parts.
func Contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// Patience is how long a test waits for what has to come. It bounds what hangs, and says
// nothing of how fast anything is: a machine may be ten times slower than another.
const Patience = 4 * time.Minute

// Eventually waits for a condition; what says what was waited for.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// checkNothingLeft is invariant I1: the supervisors end, and then the ledger is as it
// was before.
func (u *User) checkNothingLeft() {
	u.NothingLeft(u, "the test")
	// The last of a bottle to go is its supervisor, which the next test would take for its own.
	Eventually(u, "the supervisors end", func() bool { return len(u.Supervisors()) == 0 })
}

// NothingLeft fails unless what bottles have made is gone. The daemon notices the end of
// a shim when it gets to it, and then removes its bundle: that is waited for.
func (u *User) NothingLeft(t testing.TB, after string) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(Patience); ; time.Sleep(20 * time.Millisecond) {
		if left = u.Left(); left == "" {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Fatalf("I1: after %s there is left:\n%s", after, left)
}

// Left lists what bottles have left: at the daemon, and in the run directory.
func (u *User) Left() string {
	// Layers are images' and stay, when a start has unpacked them.
	lines := slices.DeleteFunc(u.before.Diff(u.Daemon.Ledger(u.TB, u.RunRoot)), func(line string) bool {
		return strings.Contains(line, "snapshot "+Namespace) && strings.Contains(line, "/sha256:")
	})
	directories, _ := filepath.Glob(filepath.Join(u.RunRoot, "*", "bottles", "*"))
	lines = append(lines, directories...)
	for _, pid := range u.Controllers() {
		lines = append(lines, "controller "+strconv.Itoa(pid))
	}
	return strings.Join(lines, "\n")
}

// Controllers are the processes that watch over bottles of this user.
func (u *User) Controllers() []int {
	var pids []int
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		arguments := strings.Split(string(line), "\x00")
		if err != nil || arguments[0] != u.Binary || !slices.Contains(arguments, "controller") || !slices.Contains(arguments, u.RunRoot) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(directory)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Supervisors are the processes that stay with bottles of this program, those
// that are about to end included: until they have, they hold locks.
func (u *User) Supervisors() []int {
	var pids []int
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		if err != nil || !strings.HasPrefix(string(line), u.Binary+"\x00supervise\x00") && !dying(directory, line, filepath.Base(u.Binary)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(directory)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Supervisor waits for the one supervisor that there is.
func (u *User) Supervisor(t testing.TB) (pid int) {
	t.Helper()
	Eventually(t, "there is one supervisor", func() bool {
		pids := u.Supervisors()
		if len(pids) == 1 {
			pid = pids[0]
		}
		return len(pids) == 1
	})
	return pid
}

// Abandon kills a client and supervisors. The client stands still before it dies: it
// would take its bottle down by itself once it sees no supervisor.
func Abandon(client int, supervisors []int) {
	_ = syscall.Kill(client, syscall.SIGSTOP)
	for _, pid := range append(supervisors, client) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// dying says that a process of that name has lost its memory, and with it its
// arguments, but not yet its files: its last thread has them.
func dying(directory string, arguments []byte, name string) bool {
	if len(arguments) > 0 {
		return false
	}
	status, err := os.ReadFile(filepath.Join(directory, "stat"))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(status), "("+name+") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 7 {
		return false
	}
	// A process in its exec has no arguments either, for a moment: any command
	// that has just been started.
	const flagExiting = 0x4 // PF_EXITING of linux/sched.h
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	threads, _ := os.ReadDir(filepath.Join(directory, "task"))
	return err == nil && flags&flagExiting != 0 && (fields[0] != "Z" || len(threads) > 1)
}

// Work reads a file that the agent has left in its workspace, of which there
// must be just one.
func (u *User) Work(name string) string {
	u.Helper()
	files, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "workspace", name))
	if err != nil || len(files) != 1 {
		u.Fatalf("%s is at %v, %v", name, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		u.Fatal(err)
	}
	return string(data)
}
