package integration

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// echoes is a claude that answers lines until one says end, and then ends with 7.
const echoes = `echo ready; while read line; do echo "got $line"; test "$line" = end && exit 7; done; exit 9`

// ended waits for a detached bottle to be over, and returns how it went.
func ended(t *testing.T, u *bottletest.User) backend.Outcome {
	t.Helper()
	bottletest.Eventually(t, "the bottle is kept", func() bool { return len(u.Supervisors()) == 0 })
	bottles := list(t, u)
	if len(bottles) != 1 || bottles[0].Phase != string(backend.PhaseKept) || !bottles[0].Detached || bottles[0].Outcome == nil {
		t.Fatalf("there is %+v", bottles)
	}
	return *bottles[0].Outcome
}

// TestADetachedBottleLivesOnAndIsComeBackTo: several clients see the same, come and go,
// and the code is claude's own.
func TestADetachedBottleLivesOnAndIsComeBackTo(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, echoes)
		started := u.Run("start", "tester", "--yes", "--detach", "--runtime", runtime).Want(t, 0)
		if started.Stdout != "tester\n" {
			t.Errorf("it printed %q", started.Stdout)
		}
		bottletest.Contains(t, started.Stderr, "claude-bottle attach tester")
		if now := named(t, list(t, u), "tester"); now.Phase != string(backend.PhaseRunning) || !now.Detached || now.Outcome != nil {
			t.Errorf("it is %+v", now)
		}
		bottletest.Contains(t, u.Run("start", "tester", "--yes", "--detach").Want(t, 3).Stderr, "--name")

		watcher := u.OnTerminal("attach", "tester", "--read-only")
		watcher.Shows("ready")
		first := u.OnTerminal("attach", "tester")
		first.Shows("ready")
		watcher.Types("refused\r")
		first.Types("one\r")
		first.Shows("got one")
		watcher.Shows("got one")
		first.Types("half\x10\x11")
		if code := first.Ends(); code != 0 {
			t.Errorf("it was left with %d: %s", code, first.Text())
		}
		first.Shows("left running")
		second := u.OnTerminal("attach", "tester", "--detach-keys", "ctrl-]")
		second.Shows("got one")
		second.Types(" and whole\r")
		second.Shows("got half and whole")
		second.Types("end\r")
		if code := second.Ends(); code != 7 {
			t.Errorf("claude ended with %d: %s", code, second.Text())
		}
		if code := watcher.Ends(); code != 7 || strings.Contains(watcher.Text(), "refused") {
			t.Errorf("who only looked saw %d: %q", code, watcher.Text())
		}
		if outcome := ended(t, u); outcome.ExitCode != 7 || outcome.Reason != backend.ReasonError || outcome.Started.After(outcome.Finished) {
			t.Errorf("the outcome is %+v", outcome)
		}
		bottletest.Contains(t, u.Run("list").Want(t, 0).Stdout, "Kept (7)")
		bottletest.Contains(t, u.Run("logs", "tester").Want(t, 0).Stdout, "ready", "got one", "got half and whole", "got end")
		bottletest.Contains(t, u.Run("attach", "tester").Want(t, 125).Stderr, "has ended", "claude-bottle resume tester@")
		u.Run("cleanup", "--yes").Want(t, 0)
		bottletest.Contains(t, u.Run("logs", "tester").Want(t, 0).Stdout, "got end")
		u.Run("rm", "tester").Want(t, 0)
	})
}

// TestF5_ATerminalThatHangsUpLeavesTheBottle, and so do the keys for it.
func TestF5_ATerminalThatHangsUpLeavesTheBottle(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, echoes)
		s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows("ready")
		s.Types("\x10\x11")
		if code := s.Ends(); code != 0 {
			t.Errorf("it was left with %d: %s", code, s.Text())
		}
		s = u.OnTerminal("attach", "tester")
		s.Shows("ready")
		_ = s.Process.Process.Signal(syscall.SIGHUP)
		if code := s.Ends(); code != 128+int(syscall.SIGHUP) {
			t.Errorf("a hang-up ended attach with %d", code)
		}
		u.Run("stop", "tester").Want(t, 0)
		u.Run("rm", "tester").Want(t, 0)

		s = u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows("ready")
		s.Types("before\r")
		s.Shows("got before")
		_ = s.Process.Process.Signal(syscall.SIGHUP)
		if code := s.Ends(); code != 128+int(syscall.SIGHUP) {
			t.Errorf("a hang-up ended start with %d", code)
		}
		s = u.OnTerminal("attach", "tester")
		s.Shows("got before")
		s.Types("end\r")
		if code := s.Ends(); code != 7 {
			t.Errorf("claude ended with %d", code)
		}
		ended(t, u)
		u.Run("rm", "tester").Want(t, 0)
	})
}

// TestAHeadlessBottleSaysAllInItsLog: without a terminal of its own, its errors apart.
func TestAHeadlessBottleSaysAllInItsLog(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `test -t 1 && echo on a terminal; cat; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done; echo aside >&2; echo work > /workspace/work`)
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		followed := u.Run("logs", "tester", "--follow").Want(t, 0)
		var want strings.Builder
		for i := range 20000 {
			want.WriteString(strconv.Itoa(i+1) + "\n")
		}
		if followed.Stdout != want.String() || followed.Stderr != "aside\n" {
			t.Errorf("%d bytes were followed, wanted are %d; errors %q", len(followed.Stdout), want.Len(), followed.Stderr)
		}
		if outcome := ended(t, u); outcome.ExitCode != 0 || outcome.Reason != backend.ReasonCompleted {
			t.Errorf("the outcome is %+v", outcome)
		}
		if logged := u.Run("logs", "tester").Want(t, 0); logged.Stdout != want.String() {
			t.Errorf("%d bytes were taken down", len(logged.Stdout))
		}
		if logged := u.Run("logs", "tester", "--since", "2999-01-01T00:00:00Z").Want(t, 0); logged.Stdout != "" {
			t.Errorf("of the future there is %q", logged.Stdout)
		}
		u.Run("logs", "tester", "--since", "yesterday").Want(t, 2)
		u.Run("rm", "tester").Want(t, 4)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

func TestStopEndsClaudeAndKeepsItsWork(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo work > /workspace/work; "+echoes)
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime).Want(t, 0)
		s := u.OnTerminal("attach", "tester", "--read-only")
		s.Shows("ready")
		if stopped := u.Run("stop", "tester").Want(t, 0); stopped.Stdout != "tester\n" {
			t.Errorf("it printed %q", stopped.Stdout)
		}
		s.Ends()
		if outcome := ended(t, u); outcome.ExitCode != 128+int(syscall.SIGTERM) || outcome.Reason != backend.ReasonStopped {
			t.Errorf("the outcome is %+v", outcome)
		}
		if work := u.Work("work"); work != "work\n" {
			t.Errorf("its work is %q", work)
		}
		u.Run("stop", "tester").Want(t, 0)
		bottletest.Contains(t, u.Run("stop", "nobody").Want(t, 1).Stderr, "nobody")
		bottletest.Contains(t, u.Run("start", "tester", "--yes", "--detach", "--discard").Want(t, 125).Stderr, "--discard")
		does(u, echoes)
		u.Run("resume", "tester", "--yes", "--quiet", "--detach").Want(t, 0)
		u.Run("stop", "tester").Want(t, 0)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}
