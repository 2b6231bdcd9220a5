package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Opener = (*Backend)(nil)

// live is a running bottle as a client reaches it.
type live struct {
	backend    *Backend
	id         backend.ID
	supervisor *supervise.Client
}

// Open implements backend.Opener.
func (b *Backend) Open(ctx context.Context, name string) (backend.Live, error) {
	found, client, err := b.reach(ctx, name)
	if err != nil {
		return nil, err
	}
	return &live{backend: b, id: found.ID, supervisor: client}, nil
}

// reach connects to the supervisor of a running bottle.
func (b *Backend) reach(ctx context.Context, name string) (*backend.Work, *supervise.Client, error) {
	found, err := b.Find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if !found.Running {
		return nil, nil, fmt.Errorf("bottle %s has ended: `claude-bottle logs %s` shows what was said, `claude-bottle resume %s` goes on: %w",
			name, found.Handle(), found.Handle(), errdefs.ErrFailedPrecondition)
	}
	client, err := supervise.Connect(ctx, b.layout.bottle(found.ID).run)
	if err != nil {
		return nil, nil, fmt.Errorf("bottle %s: %w", name, err)
	}
	return found, client, nil
}

// Attach implements backend.Live. When the supervisor dies under it, it goes on with
// the one that takes its place, where it was.
func (l *live) Attach(ctx context.Context, options backend.AttachOptions, terminal backend.Terminal) (int, error) {
	relaying, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, size := sessionIO(relaying, terminal)
	had, lost := options.From, time.Time{}
	ends.Had = &had
	ends.Position = func(neck.Position) { lost = time.Time{} }
	input := newInput(relaying, ends.In)
	request := neck.AttachRequest{From: had, ReadOnly: options.ReadOnly, Size: size}
	for {
		attempt, done := context.WithCancel(relaying)
		ends.In = input.reader(attempt)
		status, err := l.supervisor.Attach(attempt, request, ends)
		done()
		if err == nil {
			return status.Code, nil
		}
		if lost.IsZero() {
			lost = time.Now()
		}
		if ctx.Err() != nil || !isLost(err) || time.Since(lost) > reviveTimeout || !l.reachAgain(ctx) {
			return exitOurs, l.brokeOff(ctx, err)
		}
		request = neck.AttachRequest{From: had, ReadOnly: options.ReadOnly}
	}
}

// isLost says that a session broke off since its supervisor or its neck did.
func isLost(err error) bool {
	return errors.Is(err, neck.ErrLinkLost) || errdefs.IsUnavailable(err) || errors.Is(err, io.EOF)
}

// reachAgain says whether the bottle goes on with another supervisor. The one that is
// gone may seem to be there for a moment.
func (l *live) reachAgain(ctx context.Context) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		_, client, err := l.backend.reach(ctx, l.id.Handle())
		if err == nil {
			l.supervisor.Close()
			l.supervisor = client
			return true
		}
		if !isLost(err) || time.Since(begun) > reviveTimeout {
			return false
		}
	}
}

func (l *live) brokeOff(ctx context.Context, err error) error {
	name := l.id.Name
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("bottle %s was started without a terminal, and not detached: its claude can't be attached to, `claude-bottle exec %s` runs a command beside it: %w", name, name, err)
	default:
		return fmt.Errorf("the session with %s broke off: %w", name, err)
	}
}

// Halt implements backend.Live. A supervisor that dies meanwhile is started again, to end
// what it has left.
func (l *live) Halt(ctx context.Context) error {
	for {
		err := l.supervisor.Halt(ctx)
		if err == nil || ctx.Err() != nil || !isLost(err) {
			return err
		}
		if !l.reachAgain(ctx) {
			return l.unlessOver(ctx, err)
		}
	}
}

// unlessOver is the error, or nil for a bottle that has ended.
func (l *live) unlessOver(ctx context.Context, cause error) error {
	found, err := l.backend.Find(ctx, l.id.Handle())
	if errdefs.IsNotFound(err) || err == nil && !found.Running {
		return nil
	}
	return cause
}

// Close implements backend.Live.
func (l *live) Close() error {
	l.supervisor.Close()
	return nil
}
