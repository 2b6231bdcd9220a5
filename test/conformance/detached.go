package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// echoes is a claude that answers lines until one says end, and then ends with 7.
const echoes = `echo ready; while read line; do echo "got $line"; test "$line" = end && exit 7; done; exit 9`

// viewer is one that is attached.
type viewer struct {
	screen page
	keys   func(string)
	leave  context.CancelCauseFunc
	ends   chan said
	failed chan error
}

// client is one more client, as what it is beside a backend.
func client[T any](t *testing.T, s *suite) T {
	t.Helper()
	as, ok := s.Open(t).(T)
	if !ok {
		t.Fatalf("it is no %T", *new(T))
	}
	return as
}

// detach starts claude in a bottle that lives on without this client.
func (s *suite) detach(t *testing.T, spec backend.Spec) {
	t.Helper()
	bottle, _ := s.launch(t, spec)
	begin(t, bottle)
	closes(t, bottle) // does nothing
	if status := s.phase(t, spec.Name, backend.PhaseRunning); !status.Detached || status.Outcome != nil {
		t.Errorf("it is %+v", status)
	}
}

// begin starts claude in a bottle, and leaves it to itself.
func begin(t *testing.T, bottle backend.Bottle) {
	t.Helper()
	detacher, ok := bottle.(backend.Detacher)
	if !ok {
		t.Fatal("its bottles are reached by others, but can't be detached")
	}
	if err := detacher.Begin(t.Context(), []string{"claude"}, true); err != nil {
		t.Fatalf("begin: %v", err)
	}
	if err := detacher.Detach(t.Context()); err != nil {
		t.Fatalf("detach: %v", err)
	}
}

// open reaches a bottle until the end of the test.
func open(t *testing.T, opener backend.Opener, name string) backend.Live {
	t.Helper()
	live, err := opener.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = live.Close() })
	return live
}

// attach comes to the screen of a bottle.
func attach(t *testing.T, opener backend.Opener, name string, readOnly bool) *viewer {
	t.Helper()
	live := open(t, opener, name)
	ctx, leave := context.WithCancelCause(t.Context())
	in, keys := keyboard(t)
	c := &viewer{leave: leave, ends: make(chan said, 1), failed: make(chan error, 1)}
	c.keys = func(text string) { go func() { _, _ = keys.Write([]byte(text)) }() }
	go func() {
		code, err := live.Attach(ctx, backend.AttachOptions{From: -1, ReadOnly: readOnly}, backend.Terminal{In: in, Out: &c.screen, Err: &c.screen, TTY: true})
		c.failed <- err
		c.ends <- said{code: code}
	}()
	return c
}

// wants wants the client's session to end with that code, which is claude's.
func (c *viewer) wants(t *testing.T, code int) {
	t.Helper()
	if err := <-c.failed; err != nil {
		t.Errorf("it ends since %v", err)
	}
	if got := <-c.ends; got.code != code {
		t.Errorf("it ends with %d", got.code)
	}
}

func testDetached(t *testing.T, s *suite) {
	opener := client[backend.Opener](t, s)
	spec := s.spec(t, "apart", echoes)
	spec.Declaration = &backend.Declaration{Labels: map[string]string{"team": "web"}, Life: backend.Life{Restart: backend.RestartNever}, Generation: 1}
	s.detach(t, spec)
	if status := s.phase(t, "apart", backend.PhaseRunning); status.Declaration == nil || status.Declaration.Labels["team"] != "web" {
		t.Errorf("declared is %+v", status.Declaration)
	}
	if _, err := s.backend.Prepare(t.Context(), s.spec(t, "apart", "true")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("planned with the name in use: %v", err)
	}
	if plan, err := s.backend.PrepareCleanup(t.Context()); err != nil || !plan.Empty() {
		t.Errorf("to clean up is %+v, %v", plan, err)
	}
	watcher := attach(t, opener, "apart", true)
	watcher.screen.shows(t, "ready")
	user := attach(t, opener, "apart", false)
	user.screen.shows(t, "ready")
	watcher.keys("refused\r")
	user.keys("one\r")
	user.screen.shows(t, "got one")
	watcher.screen.shows(t, "got one")
	user.keys("end\r")
	user.wants(t, 7)
	watcher.wants(t, 7)
	if text := watcher.screen.String(); strings.Contains(text, "refused") {
		t.Errorf("who only looks typed: %q", text)
	}
	status := s.phase(t, "apart", backend.PhaseKept)
	if outcome := status.Outcome; outcome == nil || outcome.ExitCode != 7 || outcome.Reason != backend.ReasonError || outcome.Started.After(outcome.Finished) || !status.Detached {
		t.Errorf("the outcome is %+v", outcome)
	}
	if _, err := opener.Open(t.Context(), status.Name); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("opened once it has ended: %v", err)
	}
}

func testHalt(t *testing.T, s *suite) {
	opener := client[backend.Opener](t, s)
	s.detach(t, s.spec(t, "halted", "echo made > work; "+echoes))
	watcher := attach(t, opener, "halted", true)
	watcher.screen.shows(t, "ready")
	if err := open(t, opener, "halted").Halt(t.Context()); err != nil {
		t.Errorf("halt: %v", err)
	}
	status := s.keptWork(t, "halted", "made\n")
	if outcome := status.Outcome; outcome == nil || outcome.Reason != backend.ReasonStopped {
		t.Errorf("the outcome is %+v", outcome)
	}
	<-watcher.ends
}

func testLeave(t *testing.T, s *suite) {
	opener := client[backend.Opener](t, s)
	s.detach(t, s.spec(t, "going-on", echoes))
	first := attach(t, opener, "going-on", false)
	first.keys("one\r")
	first.screen.shows(t, "got one")
	cause := errors.New("enough")
	first.leave(cause)
	if err := <-first.failed; !errors.Is(err, cause) {
		t.Errorf("it ends since %v", err)
	}
	second := attach(t, opener, "going-on", false)
	second.screen.shows(t, "got one")
	second.keys("end\r")
	second.wants(t, 7)
	s.phase(t, "going-on", backend.PhaseKept)
}

func testOpen(t *testing.T, s *suite) {
	opener := client[backend.Opener](t, s)
	if _, err := opener.Open(t.Context(), "nobody"); !errdefs.IsNotFound(err) {
		t.Errorf("nobody: %v", err)
	}
	s.wrote(t, s.spec(t, "over", "echo made > work"))
	status := s.phase(t, "over", backend.PhaseKept)
	if _, err := opener.Open(t.Context(), status.Name); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("one that has ended: %v", err)
	}
}
