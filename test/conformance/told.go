package conformance

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// listener has heard which bottles something may have happened to.
type listener struct {
	mu     sync.Mutex
	names  []string
	closed chan struct{}
}

// listen listens until the returned function is called.
func listen(t *testing.T, watcher backend.Watcher) (*listener, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	names, err := watcher.Watch(ctx)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	l := &listener{closed: make(chan struct{})}
	go func() {
		defer close(l.closed)
		for name := range names {
			l.mu.Lock()
			l.names = append(l.names, name)
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-l.closed })
	return l, cancel
}

// forget begins anew.
func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = nil
}

// heard says whether it was told of the bottle, by its name or by its handle.
func (l *listener) heard(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.names, func(told string) bool { return told == name || strings.HasPrefix(told, name+"@") })
}

// testWatch has two clients hear of a bottle that comes, changes and ends, and of one
// whose holder dies; the end of one's context is the end of what it hears, and of nothing
// else.
func testWatch(t *testing.T, s *suite) {
	first, leave := listen(t, client[backend.Watcher](t, s))
	second, _ := listen(t, client[backend.Watcher](t, s))
	spec := s.spec(t, "told", echoes)
	spec.Declaration = &backend.Declaration{Generation: 1}
	s.detach(t, spec)
	generation := int64(1)
	change := func() {
		if declarer, ok := s.backend.(backend.Declarer); ok {
			generation++
			if err := declarer.Declare(t.Context(), "told", backend.Declaration{Generation: generation}); err != nil {
				t.Fatalf("declare: %v", err)
			}
		}
	}
	for _, l := range []*listener{first, second} {
		// What happened before a listener was noted may be missed.
		eventually(t, "a listener hears of a bottle that has come", func() bool { change(); return l.heard("told") })
	}
	leave()
	<-first.closed
	first.forget()
	second.forget()
	change()
	eventually(t, "a listener hears of what was declared", func() bool { return second.heard("told") })
	second.forget()
	user := attach(t, client[backend.Opener](t, s), "told", false)
	user.screen.shows(t, "ready")
	user.keys("end\r")
	user.wants(t, 7)
	s.phase(t, "told", backend.PhaseKept)
	eventually(t, "a listener hears of the end of a bottle", func() bool { return second.heard("told") })
	s.Dead(t, s.spec(t, "broken", "echo made > work; echo ready; cat"))
	eventually(t, "a listener hears of a bottle that nobody holds", func() bool { return second.heard("broken") })
	if err := s.backend.Cleanup(t.Context(), s.cleanupPlan(t, "broken")); err != nil {
		t.Errorf("clean up: %v", err)
	}
	s.keptWork(t, "broken", "made\n")
	if len(first.names) > 0 { // its channel is closed: nobody writes there
		t.Errorf("who listens no more heard of %q", first.names)
	}
}

// testHistory reads what has happened to a bottle while it runs and once it is kept.
func testHistory(t *testing.T, s *suite) {
	historian := client[backend.Historian](t, s)
	if _, err := historian.Events(t.Context(), "nobody"); !errdefs.IsNotFound(err) {
		t.Errorf("of nobody: %v", err)
	}
	spec := s.spec(t, "noted", echoes)
	spec.Declaration = &backend.Declaration{Generation: 1}
	s.detach(t, spec)
	want := []string{"Started"}
	if declarer, ok := s.backend.(backend.Declarer); ok {
		if err := declarer.Declare(t.Context(), "noted", backend.Declaration{Generation: 2}); err != nil {
			t.Errorf("declare: %v", err)
		}
		want = append(want, "Configured")
	}
	happened(t, historian, "noted", want)
	user := attach(t, client[backend.Opener](t, s), "noted", false)
	user.screen.shows(t, "ready")
	user.keys("end\r")
	user.wants(t, 7)
	kept := s.phase(t, "noted", backend.PhaseKept)
	events := happened(t, historian, kept.Name, append(want, backend.ReasonError))
	if last := events[len(events)-1]; last.Type != backend.EventWarning || !strings.Contains(last.Message, "7") {
		t.Errorf("its end is told as %+v", last)
	}
}

// happened wants a bottle to have that history, and each event to have its time and type.
func happened(t *testing.T, historian backend.Historian, name string, want []string) []backend.Event {
	t.Helper()
	events, err := historian.Events(t.Context(), name)
	if err != nil {
		t.Fatalf("events of %s: %v", name, err)
	}
	var reasons []string
	for i, event := range events {
		reasons = append(reasons, event.Reason)
		if event.Time.IsZero() || event.Type == "" || i > 0 && event.Time.Before(events[i-1].Time) {
			t.Errorf("event %d of %s is %+v", i+1, name, event)
		}
	}
	if !slices.Equal(reasons, want) {
		t.Fatalf("to %s happened %q, want %q", name, reasons, want)
	}
	return events
}
