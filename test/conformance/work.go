package conformance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func testClose(t *testing.T, s *suite) {
	bottle, _ := s.launch(t, s.spec(t, "closed", "true"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := bottle.Close(gone); err != nil {
				t.Errorf("close on a context that has ended: %v", err)
			}
		})
	}
	all.Wait()
	closes(t, bottle)
	s.empty(t)
	if status := s.one(t, "closed"); status != nil {
		t.Errorf("kept is %+v", status)
	}
}

// wrote launches a bottle whose claude has left a file, and closes it.
func (s *suite) wrote(t *testing.T, spec backend.Spec) {
	t.Helper()
	bottle, _ := s.launch(t, spec)
	if got, err := runs(t, bottle, "", "claude"); err != nil || got.code != 0 {
		t.Fatalf("claude ends with %+v, %v", got, err)
	}
	if unsaver, ok := bottle.(backend.Unsaver); ok {
		if unsaved, err := unsaver.Unsaved(t.Context()); err != nil || !unsaved.Any() || !strings.Contains(unsaved.Words(), "work") {
			t.Errorf("unsaved is %+v, %v", unsaved, err)
		}
	}
	closes(t, bottle)
}

// keptWork wants the one kept bottle of that name to have its work.
func (s *suite) keptWork(t *testing.T, name, want string) backend.Status {
	t.Helper()
	status := s.phase(t, name, backend.PhaseKept)
	if !strings.HasPrefix(status.Name, name+"@") {
		t.Errorf("it is called %q", status.Name)
	}
	if data, err := os.ReadFile(filepath.Join(status.Workspace, "work")); err != nil || string(data) != want {
		t.Errorf("its work is %q, %v", data, err)
	}
	return status
}

func testUnsaved(t *testing.T, s *suite) {
	s.wrote(t, s.spec(t, "worked", "echo made > work"))
	s.keptWork(t, "worked", "made\n")
	s.empty(t) // cleanup takes nothing of it
	bottle, _ := s.launch(t, s.spec(t, "worked", "ls"))
	if got, err := runs(t, bottle, "", "claude"); err != nil || got.out != "" {
		t.Errorf("the next of its name finds %+v, %v", got, err)
	}
	closes(t, bottle)
	s.empty(t)
	s.keptWork(t, "worked", "made\n")
}

func testDiscard(t *testing.T, s *suite) {
	spec := s.spec(t, "thrown", "echo made > work")
	spec.Discard = true
	s.wrote(t, spec)
	s.empty(t)
	if status := s.one(t, "thrown"); status != nil {
		t.Errorf("kept is %+v", status)
	}
}

// cleanupPlan plans a cleanup of the bottle of that name.
func (s *suite) cleanupPlan(t *testing.T, name string) *backend.CleanupPlan {
	t.Helper()
	s.phase(t, name, backend.PhaseDead)
	plan, err := s.backend.PrepareCleanup(t.Context())
	if err != nil || plan.Empty() {
		t.Fatalf("to clean up is %+v, %v", plan, err)
	}
	for _, item := range plan.Items {
		if !strings.HasPrefix(item.Bottle, name+"-") {
			t.Errorf("to clean up is %+v, too", item)
		}
	}
	return plan
}

func testCleanup(t *testing.T, s *suite) {
	living, _ := s.launch(t, s.spec(t, "living", "echo alive"))
	s.Dead(t, s.spec(t, "broken", "echo made > work; echo ready; cat"))
	plan := s.cleanupPlan(t, "broken")
	s.phase(t, "broken", backend.PhaseDead) // planning has changed nothing
	for range 2 {
		if err := s.backend.Cleanup(t.Context(), plan); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
	s.keptWork(t, "broken", "made\n")
	if again, err := s.backend.PrepareCleanup(t.Context()); err != nil || !again.Empty() {
		t.Errorf("there is still to clean up %+v, %v", again, err)
	}
	if got, err := runs(t, living, "", "claude"); err != nil || got.out != "alive\n" {
		t.Errorf("what lives was hit: %+v, %v", got, err)
	}
	closes(t, living)
}

// testLateCleanup has a name taken again between a plan and its cleanup.
func testLateCleanup(t *testing.T, s *suite) {
	s.Dead(t, s.spec(t, "late", "echo made > work; echo ready; cat"))
	plan := s.cleanupPlan(t, "late")
	bottle, _ := s.launch(t, s.spec(t, "late", "echo alive"))
	if err := s.backend.Cleanup(t.Context(), plan); err != nil {
		t.Errorf("clean up: %v", err)
	}
	if got, err := runs(t, bottle, "", "claude"); err != nil || got.out != "alive\n" {
		t.Errorf("what has come back was hit: %+v, %v", got, err)
	}
	closes(t, bottle)
	s.empty(t)
	s.keptWork(t, "late", "made\n")
}

// testList lists while bottles come and go.
func testList(t *testing.T, s *suite) {
	done := make(chan struct{})
	var lists sync.WaitGroup
	for range 2 {
		client := s.Open(t)
		lists.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				list, err := client.ListActive(t.Context())
				if err != nil {
					t.Errorf("list: %v", err)
					return
				}
				for i, status := range list {
					if status.Name == "" || status.Phase == "" || i > 0 && status.Phase != backend.PhaseKept && list[i-1].Name >= status.Name {
						t.Errorf("listed is %+v", list)
					}
				}
			}
		})
	}
	defer lists.Wait()
	defer close(done)
	for _, name := range []string{"first", "second"} {
		bottle, _ := s.launch(t, s.spec(t, name, "echo made > work"))
		if _, err := runs(t, bottle, "", "claude"); err != nil {
			t.Error(err)
		}
		closes(t, bottle)
	}
}
