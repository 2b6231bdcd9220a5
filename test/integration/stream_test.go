package integration

import (
	"slices"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/streamtest"
)

// TestF7_SessionsOutliveContainerd: whoever is attached, or has started a bottle, hears
// every byte once while containerd is killed and comes back.
func TestF7_SessionsOutliveContainerd(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		streamtest.Run(u, streamtest.Options{
			Runtime: runtime, Bottles: 2, Clients: 4, Foreground: 1, Strikes: 3,
			Open:   func(t testing.TB) backend.Opener { return u.Backend(t) },
			Strike: func(testing.TB) { restart(u) },
		})
	})
}

// TestF3_F7_SessionsOutliveTheirSupervisorAndContainerd: of the clients that all want to
// start the supervisor again one does, and each goes on where it was.
func TestF3_F7_SessionsOutliveTheirSupervisorAndContainerd(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		strike := 0
		streamtest.Run(u, streamtest.Options{
			Runtime: runtime, Bottles: 2, Clients: 6, Strikes: 3,
			Open: func(t testing.TB) backend.Opener { return u.Backend(t) },
			Strike: func(t testing.TB) {
				old := u.Supervisors()
				for _, pid := range old {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				if strike++; strike%2 == 1 {
					restart(u)
				}
				bottletest.Eventually(t, "each bottle has another supervisor", func() bool {
					return len(supervisorsOf(u, "apart-0")) == 1 && len(supervisorsOf(u, "apart-1")) == 1 && !slices.ContainsFunc(u.Supervisors(), func(pid int) bool { return slices.Contains(old, pid) })
				})
			},
		})
	})
}

// restart kills containerd and starts it again.
func restart(u *bottletest.User) {
	if err := u.Daemon.Kill(); err != nil {
		u.Fatal(err)
	}
	if err := u.Daemon.Up(); err != nil {
		u.Fatal(err)
	}
}
