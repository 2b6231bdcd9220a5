package integration

import (
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestADeclaredBottleLivesAsLongAsItWasDeclared: started again after a failure, in the
// sandbox and with the work that is there, ended at its deadline, and what was declared
// goes on with what is kept.
func TestADeclaredBottleLivesAsLongAsItWasDeclared(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `echo run >> /workspace/runs; test $(wc -l < /workspace/runs) -lt 2 && exit 7; echo lasting; exec sleep 1000`)
		u.Run("start", "tester", "--yes", "--deadline", "1h").Want(t, 125)
		started := u.Run("start", "tester", "--yes", "--detach", "--runtime", runtime, "--restart", "on-failure",
			"--deadline", "12s", "--ttl", "10h", "--label", "team=web", "--", "-p", "x").Want(t, 0)
		bottletest.Contains(t, started.Stderr, "claude is started again: OnFailure; ends after 12s; is removed 10h0m0s after its end", "team=web")
		outcome := ended(t, u)
		if outcome.Reason != backend.ReasonDeadline || outcome.Restarts != 1 || outcome.Finished.Sub(outcome.Started) <= 0 {
			t.Errorf("the outcome is %+v", outcome)
		}
		kept := list(t, u)[0]
		if kept.Declaration == nil || kept.Declaration.Labels["team"] != "web" || *kept.Declaration.Life.TTLSecondsAfterFinished != 36000 {
			t.Errorf("what was declared is %+v", kept.Declaration)
		}
		bottletest.Contains(t, u.Run("logs", "tester").Want(t, 0).Stdout, "lasting")
		events, err := supervise.ReadEvents(filepath.Dir(kept.Workspace))
		var reasons []string
		for _, event := range events {
			reasons = append(reasons, event.Reason)
		}
		if err != nil || len(reasons) != 4 || reasons[1] != "Restarting" || reasons[3] != backend.ReasonDeadline {
			t.Errorf("its events are %v: %v", reasons, err)
		}
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}
