package integration

import (
	"encoding/json"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestWaitSeesABottleFromReadyToGone: the code is claude's, a time that is over is one,
// and another life of the name is not what was waited for.
func TestWaitSeesABottleFromReadyToGone(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, echoes)
		u.Run("wait", "tester").Want(t, 1)
		u.Run("wait", "tester", "--for=delete").Want(t, 0)
		u.Run("wait", "tester", "--for=condition=Ready", "-o", "exit-code").Want(t, 2)
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime).Want(t, 0)
		if r := u.Run("wait", "tester", "--for=condition=Ready").Want(t, 0); r.Stdout != "bottle.claude-bottle.dev/tester condition met\n" {
			t.Errorf("it printed %q", r.Stdout)
		}
		bottletest.Contains(t, u.Run("wait", "tester", "--timeout", "0").Want(t, 1).Stderr, "timed out", "tester")

		waits := u.OnTerminal("wait", "tester", "bottle.claude-bottle.dev/tester", "--timeout", "-1s", "-o", "exit-code")
		s := u.OnTerminal("attach", "tester")
		s.Shows("ready")
		s.Types("end\r")
		if code := waits.Ends(); code != 0 {
			t.Errorf("wait ended with %d: %s", code, waits.Text())
		}
		waits.Shows("7\r\n7\r\n")
		var list []struct {
			Name, Handle string
			Outcome      backend.Outcome
		}
		r := u.Run("wait", "tester", "-o", "json").Want(t, 0)
		if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil || len(list) != 1 || list[0].Outcome.ExitCode != 7 {
			t.Fatalf("%v: it printed %s", err, r.Stdout)
		}

		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime).Want(t, 0)
		waits = u.OnTerminal("wait", list[0].Handle, "--for=delete", "--timeout", "-1s")
		u.Run("rm", list[0].Handle).Want(t, 0)
		if code := waits.Ends(); code != 0 {
			t.Errorf("wait ended with %d: %s", code, waits.Text())
		}
		u.Run("stop", "tester").Want(t, 0)
		u.Run("rm", "tester").Want(t, 0)
	})
}
