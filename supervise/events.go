package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/journal"
	"github.com/containerd/log"
)

// maxEvents bounds the log of what has happened to a bottle, in bytes.
const maxEvents = 256 << 10

// NoteEvent notes, with the present time, what has happened to the bottle with that
// state directory.
func NoteEvent(state string, event backend.Event) error {
	event.Time = time.Now().UTC()
	opened, err := journal.Open(filepath.Join(state, backend.StateEvents), maxEvents)
	if err != nil {
		return fmt.Errorf("note event: %w", err)
	}
	if err := errors.Join(opened.Append(event), opened.Close()); err != nil {
		return fmt.Errorf("note event: %w", err)
	}
	return nil
}

// ReadEvents reads what has happened to the bottle with that state directory, the oldest
// first.
func ReadEvents(state string) ([]backend.Event, error) {
	var events []backend.Event
	err := journal.Read(filepath.Join(state, backend.StateEvents), func(event backend.Event) error {
		events = append(events, event)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// event notes what has happened to a detached bottle.
func (s *supervisor) event(ctx context.Context, event backend.Event) {
	if s.config.Discard {
		return
	}
	if err := NoteEvent(s.config.State, event); err != nil {
		log.G(ctx).WithError(err).Warn("note event")
	}
}

func restartEvent(code int, delay time.Duration) backend.Event {
	message := fmt.Sprintf("claude ended with code %d; it is started again", code)
	if delay > 0 {
		message += " in " + delay.String()
	}
	kind := backend.EventNormal
	if code != 0 {
		kind = backend.EventWarning
	}
	return backend.Event{Type: kind, Reason: "Restarting", Message: message}
}

func finishedEvent(outcome backend.Outcome) backend.Event {
	event := backend.Event{Type: backend.EventNormal, Reason: outcome.Reason, Message: fmt.Sprintf("claude ended with code %d", outcome.ExitCode)}
	if outcome.Message != "" {
		event.Message += ": " + outcome.Message
	}
	switch outcome.Reason {
	case backend.ReasonCompleted, backend.ReasonStopped:
	default:
		event.Type = backend.EventWarning
	}
	return event
}
