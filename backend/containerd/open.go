package containerd

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Opener = (*Backend)(nil)

// live is a running bottle as a client reaches it.
type live struct {
	name       string
	supervisor *supervise.Client
}

// Open implements backend.Opener.
func (b *Backend) Open(ctx context.Context, name string) (backend.Live, error) {
	found, err := b.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if !found.Running {
		return nil, fmt.Errorf("bottle %s has ended: `claude-bottle logs %s` shows what was said, `claude-bottle resume %s` goes on: %w",
			name, found.Handle(), found.Handle(), errdefs.ErrFailedPrecondition)
	}
	client, err := supervise.Connect(ctx, b.layout.bottle(found.ID).run)
	if err != nil {
		return nil, fmt.Errorf("bottle %s: %w", name, err)
	}
	return &live{name: found.ID.Name, supervisor: client}, nil
}

// Attach implements backend.Live.
func (l *live) Attach(ctx context.Context, options backend.AttachOptions, terminal backend.Terminal) (int, error) {
	relaying, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, size := sessionIO(relaying, terminal)
	status, err := l.supervisor.Attach(relaying, neck.AttachRequest{From: options.From, ReadOnly: options.ReadOnly, Size: size}, ends)
	switch {
	case err == nil:
		return status.Code, nil
	case ctx.Err() != nil:
		return exitOurs, context.Cause(ctx)
	case errdefs.IsNotFound(err):
		return exitOurs, fmt.Errorf("bottle %s was started without a terminal, and not detached: its claude can't be attached to, `claude-bottle exec %s` runs a command beside it: %w", l.name, l.name, err)
	default:
		return exitOurs, fmt.Errorf("the session with %s broke off: %w", l.name, err)
	}
}

// Halt implements backend.Live.
func (l *live) Halt(ctx context.Context) error { return l.supervisor.Halt(ctx) }

// Close implements backend.Live.
func (l *live) Close() error {
	l.supervisor.Close()
	return nil
}
