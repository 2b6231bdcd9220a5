package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// parts of a running bottle, to be killed; the signal is one that the CLI can act on.
var parts = []string{"signal", "CLI", "supervisor", "sandbox", "shim", "containerd", "all"}

// written is how many small files the agent writes in each round, beside a large one.
const written = 40

// TestF2_I2_WorkOutlivesEachKill: work that was written and closed a second before a
// part of the bottle is killed is on the host as it was written, the bottle is found,
// and goes on with it. It is one bottle that dies of everything in turn.
func TestF2_I2_WorkOutlivesEachKill(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		verb := []string{"start", "tester", "--runtime", runtime}
		for round, part := range parts {
			does(u, rounds(round)+"; echo all-is-written; cat")
			s := u.OnTerminal(append(verb, "--yes", "--quiet")...)
			s.Shows("all-is-written")
			time.Sleep(time.Second) // what is promised
			killPart(t, u, s, part)
			if part != "containerd" {
				s.Ends()
			}
			isWritten(t, u, part, round)
			if part == "containerd" || part == "all" {
				if err := u.Daemon.Up(); err != nil {
					t.Fatal(err)
				}
			}
			if part == "containerd" {
				s.Types("\x04") // the session has gone on
				if code := s.Ends(); code != 0 {
					t.Errorf("after the kill of containerd it ended with %d:\n%s", code, s.Text())
				}
			}
			if slices.Contains([]string{"signal", "supervisor", "sandbox", "shim", "containerd"}, part) {
				bottletest.Contains(t, s.Text(), "unsaved, kept as tester@", "changed files", "resume tester@")
			}
			idle(t, u)
			verb = []string{"resume", "tester"}
		}
		does(u, "find . -type f | wc -l")
		r := u.Run("resume", "tester", "--yes", "--quiet").Want(t, 0)
		bottletest.Contains(t, r.Stdout, strconv.Itoa(len(parts)*(written+1)))
		isWritten(t, u, "the last resume", len(parts)-1)
		idle(t, u)
	})
}

// TestF1_F2_AKillInTheMiddleOfAResume leaves what was kept, at whatever moment it
// comes, and one cleanup leaves nothing else.
func TestF1_F2_AKillInTheMiddleOfAResume(t *testing.T) {
	const moments = 5
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, rounds(0))
		u.Start(runtime, "--quiet").Want(t, 0)
		idle(t, u)
		does(u, "true")
		began := time.Now()
		u.Run("resume", "tester", "--yes", "--quiet").Want(t, 0)
		whole := time.Since(began)
		idle(t, u)
		for i := range moments {
			s := u.OnTerminal("resume", "tester", "--yes", "--quiet")
			time.Sleep(whole * time.Duration(i+1) / (moments + 1)) // the moment is what is tested
			for _, pid := range append(u.Supervisors(), s.Process.Process.Pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			s.Ends()
			idle(t, u)
			u.Run("cleanup", "--yes").Want(t, 0)
			bottletest.Eventually(t, "nothing else is left", func() bool { return u.Left() == "" })
			isWritten(t, u, "a resume", 0)
			u.Run("rm", "tester").Want(t, 4)
		}
		does(u, "find . -type f | wc -l")
		bottletest.Contains(t, u.Run("resume", "tester", "--yes", "--quiet").Want(t, 0).Stdout, strconv.Itoa(written+1))
		idle(t, u)
	})
}

// rounds writes the files of one round, after those of all rounds before were found.
func rounds(round int) string {
	return fmt.Sprintf("test $(ls | wc -l) = %d || exit 9; mkdir d%d; seq %d 30000 > d%d/large; for n in $(seq %d); do echo %d-$n > d%d/$n; done",
		round, round, round, round, written, round, round)
}

// isWritten compares each file of all rounds with what the agent has written.
func isWritten(t *testing.T, u *bottletest.User, after string, last int) {
	t.Helper()
	workspace := filepath.Join(only(t, u.Root, "tester"), "workspace")
	want := map[string]string{}
	for round := range last + 1 {
		var large strings.Builder
		for n := round; n <= 30000; n++ {
			large.WriteString(strconv.Itoa(n) + "\n")
		}
		want[fmt.Sprintf("d%d/large", round)] = large.String()
		for n := range written {
			want[fmt.Sprintf("d%d/%d", round, n+1)] = fmt.Sprintf("%d-%d\n", round, n+1)
		}
	}
	for name, text := range want {
		if data, err := os.ReadFile(filepath.Join(workspace, name)); err != nil || string(data) != text {
			t.Errorf("after the kill of %s: %s has %d of %d bytes, %v", after, name, len(data), len(text), err)
		}
	}
}

// killPart kills one part of the one bottle, or all of them, with SIGKILL.
func killPart(t *testing.T, u *bottletest.User, s *bottletest.Screen, part string) {
	t.Helper()
	var pids []int
	shims, rest := ofBottle(u)
	switch part {
	case "signal":
		_ = s.Process.Process.Signal(syscall.SIGTERM)
		return
	case "CLI":
		pids = []int{s.Process.Process.Pid}
	case "supervisor":
		pids = u.Supervisors()
	case "sandbox":
		pids = rest
	case "shim":
		pids = shims
	case "all":
		pids = slices.Concat([]int{s.Process.Process.Pid}, u.Supervisors(), shims, rest)
	}
	if part == "containerd" || part == "all" {
		if err := u.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
	} else if len(pids) == 0 {
		t.Fatalf("there is no %s", part)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// ofBottle are the shims, and what runs below them.
func ofBottle(u *bottletest.User) (shims, rest []int) {
	for _, pid := range u.Daemon.Servants(u.RunRoot) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		if strings.Contains(strings.SplitN(string(name), "\x00", 2)[0], "shim") {
			shims = append(shims, pid)
		} else {
			rest = append(rest, pid)
		}
	}
	return shims, rest
}
