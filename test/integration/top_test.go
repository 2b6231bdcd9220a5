package integration

import (
	"encoding/json"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestTopShowsABusyBottleBusierThanAnIdleOne.
func TestTopShowsABusyBottleBusierThanAnIdleOne(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `if test $(cat /etc/hostname) = busy; then while :; do :; done; else while :; do sleep 1; done; fi`)
		u.Run("top", "busy").Want(t, 1)
		for _, name := range []string{"busy", "idle"} {
			u.Run("start", "tester", "--name", name, "--yes", "--quiet", "--detach", "--runtime", runtime, "--", "-p", "x").Want(t, 0)
		}
		look := func() (busy, idle used) {
			var rows []used
			r := u.Run("top", "-o", "json").Want(t, 0)
			if err := json.Unmarshal([]byte(r.Stdout), &rows); err != nil || len(rows) != 2 || rows[0].Name != "busy" {
				t.Fatalf("%v: it printed %s", err, r.Stdout)
			}
			return rows[0], rows[1]
		}
		bottletest.Eventually(t, "the busy one is the busier", func() bool {
			busy, idle := look()
			return busy.CPUPercent > 2*idle.CPUPercent && busy.CPUSeconds > idle.CPUSeconds
		})
		busy, idle := look()
		for _, one := range []used{busy, idle} {
			if one.MemoryBytes <= 0 || one.MemoryLimitBytes != 4<<30 || one.PIDs <= 0 || one.Runtime != runtime {
				t.Errorf("of %s there is %+v", one.Name, one)
			}
		}
		bottletest.Contains(t, u.Run("top", "idle").Want(t, 0).Stdout, "NAME", "CPU %", "idle ", "/ 4.0 GiB")

		s := u.OnTerminal("top", "busy", "--interval", "100ms")
		s.Shows("4.0 GiB")
		s.Forget()
		s.Shows("4.0 GiB")
		s.Types("\x03")
		if code := s.Ends(); code != 0 {
			t.Errorf("Ctrl-C ended it with %d", code)
		}
		u.Run("stop", "busy", "idle").Want(t, 0)
		u.Run("rm", "busy", "idle").Want(t, 0)
	})
}

// used is a row of top.
type used struct {
	Name, Runtime                       string
	CPUPercent, CPUSeconds              float64
	MemoryBytes, MemoryLimitBytes, PIDs int64
}
