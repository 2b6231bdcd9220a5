package containerd

import (
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// TestASupervisorThatIsToldToEndDoesNotWaitForADaemonThatHasEnded: a host that is shut down
// ends all at once.
func TestASupervisorThatIsToldToEndDoesNotWaitForADaemonThatHasEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sandbox := NewSandbox(backend.ID{Name: "lamp", Suffix: "k3x9p"}, Options{
		Address: filepath.Join(dir, "containerd.sock"), Root: filepath.Join(dir, "root"), RunRoot: filepath.Join(dir, "run"),
	})
	hurried := make(chan struct{})
	close(hurried)
	if err := sandbox.Down(t.Context(), false, hurried); !errdefs.IsUnavailable(err) {
		t.Errorf("it says %v", err)
	}
	if missing := sandbox.Missing(); missing != nil {
		t.Errorf("a bottle without a plan misses %v", missing)
	}
}
