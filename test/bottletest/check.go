package bottletest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// Eventually waits for a condition; what says what was waited for.
func Eventually(t testing.TB, what string, condition func() bool) {
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
func (u *User) checkNothingLeft() {
	var left string
	deadline := time.Now().Add(30 * time.Second)
	for {
		left = u.Left()
		if left == "" || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if left != "" {
		u.Errorf("I1: left behind:\n%s", left)
	}
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
