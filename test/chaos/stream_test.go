package chaos

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/streamtest"
)

// TestF7_TwoHundredStreamsOutliveContainerd: each of them lives through all kills.
func TestF7_TwoHundredStreamsOutliveContainerd(t *testing.T) {
	whole := 0
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			daemon := containerdtest.Start(t, containerdtest.Options{})
			daemon.ImportTestImage(t, bottletest.Namespace)
			u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
			whole += streamtest.Run(u, streamtest.Options{
				Runtime: runtime, Bottles: 4, Clients: 24, Foreground: 4, Strikes: 10,
				Open:   func(t testing.TB) backend.Opener { return u.Backend(t) },
				Strike: func(t testing.TB) { restart(t, daemon) },
			})
		})
	}
	if whole != 200 {
		t.Errorf("%d of 200 streams came whole", whole)
	}
}

// restart kills containerd and starts it again.
func restart(t testing.TB, daemon *containerdtest.Daemon) {
	t.Helper()
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Up(); err != nil {
		t.Fatal(err)
	}
}
