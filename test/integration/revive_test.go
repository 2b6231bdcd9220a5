package integration

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// counts is a claude that says numbers until it is told to stop.
const counts = `i=0; while ! test -e /workspace/stop; do i=$((i+1)); echo $i; sleep 0.01; done; exit 7`

// countsWhole checks that all that such a claude has said was taken down, once.
func countsWhole(t *testing.T, u *bottletest.User) {
	t.Helper()
	lines := strings.Fields(u.Run("logs", "tester").Want(t, 0).Stdout)
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of %d is %q", i+1, len(lines), line)
		}
	}
	if len(lines) < 100 {
		t.Errorf("only %d lines were taken down", len(lines))
	}
}

// killSupervisor kills the one supervisor that there is. When it has ended another one may
// have taken its place.
func killSupervisor(t *testing.T, u *bottletest.User) {
	t.Helper()
	pid := u.Supervisor(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	bottletest.Eventually(t, "the supervisor ends", func() bool { return !slices.Contains(u.Supervisors(), pid) })
}

// TestF3_ADetachedBottleOutlivesItsSupervisor: claude goes on, cleanup and start leave it
// alone, and the next command for it starts its supervisor again, which has missed
// nothing.
func TestF3_ADetachedBottleOutlivesItsSupervisor(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, counts)
		u.Run("start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		u.Run("egress", "allow", "tester", "open.example:443").Want(t, 0)
		u.Run("egress", "allow", "tester", "closed.example:443").Want(t, 0)
		u.Run("egress", "deny", "tester", "closed.example:443").Want(t, 0)
		for range 3 {
			killSupervisor(t, u)
			if now := named(t, list(t, u), "tester"); now.Phase != string(backend.PhaseRunning) || !strings.Contains(now.Message, "supervisor died") {
				t.Errorf("it is %+v", now)
			}
			bottletest.Contains(t, u.Run("cleanup", "--yes").Want(t, 0).Stdout, "claude goes on in it")
			bottletest.Contains(t, u.Run("start", "tester", "--yes", "--detach").Want(t, 3).Stderr, "--name")
			u.Run("exec", "tester", "--", "true").Want(t, 0)
			u.Supervisor(t)
		}
		bottletest.Contains(t, u.Run("egress", "test", "tester", "open.example:443").Stdout, "egress allow, this run")
		bottletest.Contains(t, u.Run("egress", "test", "tester", "closed.example:443").Want(t, 1).Stdout, "denied")
		killSupervisor(t, u)
		u.Run("exec", "tester", "--", "touch", "/workspace/stop").Want(t, 0)
		if outcome := ended(t, u); outcome.ExitCode != 7 || outcome.Reason != backend.ReasonError || outcome.Started.IsZero() {
			t.Errorf("the outcome is %+v", outcome)
		}
		countsWhole(t, u)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF3_WhoIsAttachedGoesOnWithTheNextSupervisor, and with the input that follows.
func TestF3_WhoIsAttachedGoesOnWithTheNextSupervisor(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, echoes)
		u.Run("start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", runtime).Want(t, 0)
		s := u.OnTerminal("attach", "tester")
		s.Shows("ready")
		for _, word := range []string{"one", "two"} {
			killSupervisor(t, u)
			u.Supervisor(t) // another one
			s.Types(word + "\r")
			s.Shows("got " + word)
		}
		s.Types("end\r")
		if code := s.Ends(); code != 7 {
			t.Errorf("claude ended with %d: %s", code, s.Text())
		}
		if text := s.Text(); strings.Count(text, "got one") != 1 {
			t.Errorf("it showed %q", text)
		}
		ended(t, u)
		u.Run("rm", "tester").Want(t, 0)
	})
}

// TestF3_ADetachedBottleThatLostAllIsTakenDownToItsWork: without its sandbox there is
// nothing to hold, and it is known what became of it.
func TestF3_ADetachedBottleThatLostAllIsTakenDownToItsWork(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo work > /workspace/work; "+echoes)
		u.Run("start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", runtime).Want(t, 0)
		s := u.OnTerminal("attach", "tester", "--read-only")
		s.Shows("ready")
		s.Types("\x10\x11")
		s.Ends()
		killSupervisor(t, u)
		_, err := u.Daemon.Client().TaskService().Kill(namespaces.WithNamespace(t.Context(), bottletest.Namespace), &tasks.KillRequest{ContainerID: "tester", Signal: uint32(syscall.SIGKILL)})
		if err != nil {
			t.Fatal(err)
		}
		bottletest.Eventually(t, "the sandbox has ended", func() bool {
			return named(t, list(t, u), "tester").Phase == string(backend.PhaseDead)
		})
		bottletest.Contains(t, u.Run("attach", "tester").Want(t, 125).Stderr, "has ended", "claude-bottle resume tester@")
		if outcome := ended(t, u); outcome.Reason != backend.ReasonLost {
			t.Errorf("the outcome is %+v", outcome)
		}
		if work := u.Work("work"); work != "work\n" {
			t.Errorf("its work is %q", work)
		}
		bottletest.Contains(t, u.Run("logs", "tester").Want(t, 0).Stdout, "ready")
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF3_AStopOutlivesTheSupervisorThatItHasAsked: the one that takes its place is asked
// again, and the word is the user's all the same.
func TestF3_AStopOutlivesTheSupervisorThatItHasAsked(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `trap "echo heard > /workspace/heard" TERM; echo ready > /workspace/ready; while ! test -e /workspace/stop; do sleep 0.01; done; exit 7`)
		u.Run("start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", runtime, "--", "-p", "wait").Want(t, 0)
		bottletest.Eventually(t, "claude hears signals", func() bool { return len(workspaces(t, u, "tester", "ready")) == 1 })
		stopped := make(chan bottletest.Result, 1)
		go func() { stopped <- u.Run("stop", "tester") }()
		bottletest.Eventually(t, "claude is told to stop", func() bool { return len(workspaces(t, u, "tester", "heard")) == 1 })
		killSupervisor(t, u)
		select {
		case result := <-stopped:
			result.Want(t, 0)
		case <-t.Context().Done():
			t.Fatal("it is not stopped")
		}
		if outcome := ended(t, u); outcome.Reason != backend.ReasonStopped {
			t.Errorf("the outcome is %+v", outcome)
		}
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}
