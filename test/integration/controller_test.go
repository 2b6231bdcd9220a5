package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// controller is one that a test has started.
type controller struct {
	*exec.Cmd
	said bottletest.Page
}

// controls starts a controller, and returns when it has said so.
func controls(t *testing.T, u *bottletest.User, says string) *controller {
	t.Helper()
	c := &controller{Cmd: u.Command("controller", "--resync", "1h")}
	c.Stdout, c.Stderr = &c.said, &c.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	bottletest.Eventually(t, "a controller says "+says, func() bool { return strings.Contains(c.said.String(), says) })
	return c
}

// ends tells the controller to end.
func (c *controller) ends(t *testing.T) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the controller ended with %v:\n%s", err, c.said.String())
	}
}

// happened counts the events of that reason of the one bottle that there is.
func happened(t *testing.T, u *bottletest.User, reason string) (count int) {
	t.Helper()
	events, err := supervise.ReadEvents(only(t, u.Root, "tester"))
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Reason == reason {
			count++
		}
	}
	return count
}

// replaced kills the supervisor, and waits for another one to take its place.
func replaced(t *testing.T, u *bottletest.User) {
	t.Helper()
	before := happened(t, u, "SupervisorRestarted")
	if err := syscall.Kill(u.Supervisor(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	revived(t, u, before+1)
}

// revived waits for the supervisor to have been started again so often.
func revived(t *testing.T, u *bottletest.User, times int) {
	t.Helper()
	bottletest.Eventually(t, "another supervisor is there", func() bool {
		return happened(t, u, "SupervisorRestarted") == times && len(u.Supervisors()) == 1
	})
}

// countsOn stops the counting claude, and checks that no number is missing.
func countsOn(t *testing.T, u *bottletest.User) {
	t.Helper()
	bottletest.Eventually(t, "claude has counted on", func() bool {
		return strings.Count(u.Run("logs", "tester").Want(t, 0).Stdout, "\n") > 100
	})
	u.Run("exec", "tester", "--", "touch", "/workspace/stop").Want(t, 0)
	if outcome := ended(t, u); outcome.ExitCode != 7 || outcome.Reason != backend.ReasonError {
		t.Errorf("the outcome is %+v", outcome)
	}
	countsWhole(t, u)
}

// TestF3_ADeadSupervisorIsBackWithoutACommand: the controller that start has started is
// told of its death and starts another, which has missed nothing. It ends by itself.
func TestF3_ADeadSupervisorIsBackWithoutACommand(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, counts)
		started := u.Run("start", "tester", "--yes", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		bottletest.Contains(t, started.Stderr, "started a controller", "--no-controller")
		bottletest.Eventually(t, "there is one controller", func() bool { return len(u.Controllers()) == 1 })
		for range 3 {
			replaced(t, u)
		}
		countsOn(t, u)
		bottletest.Eventually(t, "the controller ends", func() bool { return len(u.Controllers()) == 0 })
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF3_AnotherControllerTakesOver: one works and one waits; when the first is killed,
// so is a supervisor, and the second one sees to it. Told to end, it leaves the bottle as
// it is, for the next.
func TestF3_AnotherControllerTakesOver(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, counts)
		first := controls(t, u, "watch over bottles")
		second := controls(t, u, "wait for its end")
		started := u.Run("start", "tester", "--yes", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		if strings.Contains(started.Stderr, "started a controller") {
			t.Errorf("with a controller at work start said %s", started.Stderr)
		}
		replaced(t, u)
		if err := first.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = first.Wait()
		replaced(t, u)
		if said := second.said.String(); !strings.Contains(said, "watch over bottles") {
			t.Errorf("the second one said %s", said)
		}
		holder := u.Supervisor(t)
		second.ends(t)
		if now := u.Supervisor(t); now != holder {
			t.Errorf("the supervisor was %d and is %d", holder, now)
		}
		killSupervisor(t, u)
		third := controls(t, u, "watch over bottles")
		revived(t, u, 3)
		health(t, u)
		countsOn(t, u)
		third.ends(t)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// health asks the controller how it is, and what it measures.
func health(t *testing.T, u *bottletest.User) {
	t.Helper()
	sockets, _ := filepath.Glob(filepath.Join(u.RunRoot, "*", "controller.sock"))
	if len(sockets) != 1 {
		t.Fatalf("its sockets are %v", sockets)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", sockets[0])
	}}
	defer transport.CloseIdleConnections()
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": `claude_bottle_reconciles_total{result="success"}`} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://controller"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, response.Status, err)
		}
		bottletest.Contains(t, string(said), want)
	}
}

// TestF1_TheControllerTakesDownWhatNobodyHolds: a bottle whose client and supervisor were
// killed goes without a command, its work stays.
func TestF1_TheControllerTakesDownWhatNobodyHolds(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo work > /workspace/work; "+echoes)
		watches := controls(t, u, "watch over bottles")
		s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows("ready")
		bottletest.Abandon(s.Process.Process.Pid, u.Supervisors())
		s.Ends()
		bottletest.Eventually(t, "only its work is left", func() bool {
			all := list(t, u)
			return len(all) == 1 && all[0].Phase == string(backend.PhaseKept)
		})
		if work := u.Work("work"); work != "work\n" {
			t.Errorf("its work is %q", work)
		}
		watches.ends(t)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestABottleIsRemovedWhenItsTimeIsOver, unless it holds unsaved work: that is said once.
func TestABottleIsRemovedWhenItsTimeIsOver(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "true")
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--ttl", "1s", "--runtime", runtime, "--", "-p", "x").Want(t, 0)
		bottletest.Eventually(t, "it is gone", func() bool { return len(list(t, u)) == 0 && len(u.Controllers()) == 0 })

		does(u, "echo work > /workspace/work")
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--ttl", "0s", "--runtime", runtime, "--", "-p", "x").Want(t, 0)
		bottletest.Eventually(t, "the controller has nothing left to do", func() bool { return len(u.Controllers()) == 0 })
		controls(t, u, "watch over bottles").ends(t)
		if work := u.Work("work"); work != "work\n" {
			t.Errorf("its work is %q", work)
		}
		if unsaved := happened(t, u, "UnsavedWork"); unsaved != 1 {
			t.Errorf("that it holds unsaved work was said %d times", unsaved)
		}
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF7_TheControllerOutlivesContainerd: what died while the daemon was away is seen to
// when it is back.
func TestF7_TheControllerOutlivesContainerd(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, counts)
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		for i := range 2 {
			if err := u.Daemon.Kill(); err != nil {
				t.Fatal(err)
			}
			for _, pid := range u.Supervisors() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err := u.Daemon.Up(); err != nil {
				t.Fatal(err)
			}
			revived(t, u, i+1)
		}
		replaced(t, u)
		countsOn(t, u)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}
