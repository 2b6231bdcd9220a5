package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// testDeclare declares of a bottle that runs, and of the same once it has ended.
func testDeclare(t *testing.T, s *suite) {
	declarer := client[backend.Declarer](t, s)
	declared := func(generation int64, team string) backend.Declaration {
		return backend.Declaration{Labels: map[string]string{"team": team}, Generation: generation}
	}
	if err := declarer.Declare(t.Context(), "nobody", declared(1, "web")); !errdefs.IsNotFound(err) {
		t.Errorf("of nobody: %v", err)
	}
	spec := s.spec(t, "declared", echoes)
	first := declared(1, "web")
	spec.Declaration = &first
	s.detach(t, spec)
	if err := declarer.Declare(t.Context(), "declared", declared(2, "net")); err != nil {
		t.Errorf("declare: %v", err)
	}
	if err := declarer.Declare(t.Context(), "declared", declared(2, "late")); !errdefs.IsConflict(err) {
		t.Errorf("what somebody else was quicker with: %v", err)
	}
	if err := open(t, client[backend.Opener](t, s), "declared").Halt(t.Context()); err != nil {
		t.Errorf("halt: %v", err)
	}
	status := s.phase(t, "declared", backend.PhaseKept)
	if status.Declaration == nil || status.Declaration.Labels["team"] != "net" || status.Declaration.Generation != 2 {
		t.Errorf("declared is %+v", status.Declaration)
	}
	if err := declarer.Declare(t.Context(), status.Name, declared(3, "end")); err != nil {
		t.Errorf("declare of %s: %v", status.Name, err)
	}
	if status := s.one(t, "declared"); status == nil || status.Declaration.Labels["team"] != "end" {
		t.Errorf("it is %+v", status)
	}
}

// testReconcile leads each kind of bottle to where it belongs, over and over.
func testReconcile(t *testing.T, s *suite) {
	reconciler := client[backend.Reconciler](t, s)
	reconcile := func(name string) time.Duration {
		t.Helper()
		again, err := reconciler.Reconcile(t.Context(), name)
		if err != nil || again < 0 {
			t.Errorf("reconcile %s: %s, %v", name, again, err)
		}
		return again
	}
	reconcile("nobody")
	living, _ := s.launch(t, s.spec(t, "living", "echo alive"))
	s.detach(t, s.spec(t, "apart", echoes))
	s.Dead(t, s.spec(t, "broken", "echo made > work; echo ready; cat"))
	s.phase(t, "broken", backend.PhaseDead)
	for range 2 {
		for _, name := range []string{"living", "apart", "broken"} {
			reconcile(name)
		}
	}
	kept := s.keptWork(t, "broken", "made\n")
	if again := reconcile(kept.Name); again != 0 {
		t.Errorf("what is kept for good is to be looked at in %s", again)
	}
	if got, err := runs(t, living, "", "claude"); err != nil || got.out != "alive\n" {
		t.Errorf("what lives was hit: %+v, %v", got, err)
	}
	closes(t, living)
	user := attach(t, client[backend.Opener](t, s), "apart", false)
	user.screen.shows(t, "ready")
	user.keys("end\r")
	user.wants(t, 7)
	s.phase(t, "apart", backend.PhaseKept)
}

// testExpire has bottles outlive their time: what has work stays.
func testExpire(t *testing.T, s *suite) {
	reconciler := client[backend.Reconciler](t, s)
	names := map[string]string{"brief": "exit 7", "worked": "echo made > work; exit 7", "later": "exit 7"}
	for name, command := range names {
		seconds := int64(0)
		if name == "later" {
			seconds = 3600
		}
		spec := s.spec(t, name, command)
		spec.Declaration = &backend.Declaration{Life: backend.Life{TTLSecondsAfterFinished: &seconds}, Generation: 1}
		bottle, _ := s.launch(t, spec)
		begin(t, bottle)
	}
	for name := range names {
		// It may be gone already: a controller is nobody's but the backend's to have.
		eventually(t, name+" has ended", func() bool { status := s.one(t, name); return status == nil || status.Phase == backend.PhaseKept })
	}
	for _, status := range s.list(t) {
		again, err := reconciler.Reconcile(t.Context(), status.Name)
		if err != nil {
			t.Errorf("reconcile %s: %v", status.Name, err)
		}
		if strings.HasPrefix(status.Name, "later@") && (again <= 0 || again > time.Hour) {
			t.Errorf("what has an hour is to be looked at in %s", again)
		}
	}
	if status := s.one(t, "brief"); status != nil {
		t.Errorf("it has outlived its time: %+v", status)
	}
	s.keptWork(t, "worked", "made\n")
	s.phase(t, "later", backend.PhaseKept)
}
