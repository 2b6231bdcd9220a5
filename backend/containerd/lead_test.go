package containerd

import (
	"os"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

// TestF3_TheSocketOfAControllerThatWasKilledIsCleanedUp: and that of one at work is not,
// also when it came after the plan.
func TestF3_TheSocketOfAControllerThatWasKilledIsCleanedUp(t *testing.T) {
	b := &Backend{layout: layout{root: t.TempDir(), runRoot: t.TempDir()}}
	socket := b.layout.controllerFile("sock")
	planned := func() int {
		t.Helper()
		plan := &backend.CleanupPlan{}
		if err := b.planController(plan); err != nil {
			t.Fatal(err)
		}
		return len(plan.Items)
	}
	if planned() != 0 {
		t.Error("there is no socket, and it is to be removed")
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release, err := b.Lead()
	if err != nil {
		t.Fatal(err)
	}
	if planned() != 0 {
		t.Error("the socket of a controller at work is to be removed")
	}
	drop := func(wanted bool) {
		t.Helper()
		if err := b.Cleanup(t.Context(), &backend.CleanupPlan{Items: []backend.CleanupItem{{Bottle: "controller", Kind: itemSocket, Target: socket}}}); err != nil {
			t.Fatal(err)
		}
		if there, err := exists(socket); err != nil || there != wanted {
			t.Errorf("the socket is there: %v, %v", there, err)
		}
	}
	drop(true)
	release()
	if planned() != 1 {
		t.Error("the socket that a controller has left is not in the plan")
	}
	drop(false)
}
