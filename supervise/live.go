package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// Reacher finds the supervisor of one bottle.
type Reacher interface {
	// Again connects to the supervisor that stands behind the bottle now.
	Again(ctx context.Context) (*Client, error)
	// Over says that the bottle has ended.
	Over(ctx context.Context) bool
}

// Live is a running bottle as a client reaches it.
type Live struct {
	id         backend.ID
	supervisor *Client
	reacher    Reacher
	patience   time.Duration
}

var _ backend.Live = (*Live)(nil)

// NewLive returns the bottle that the client's supervisor stands behind. It owns the
// client. Patience bounds the wait for another supervisor in the place of one that died.
func NewLive(id backend.ID, client *Client, reacher Reacher, patience time.Duration) *Live {
	return &Live{id: id, supervisor: client, reacher: reacher, patience: patience}
}

// Attach implements backend.Live. When the supervisor dies under it, it goes on with
// the one that takes its place, where it was.
func (l *Live) Attach(ctx context.Context, options backend.AttachOptions, terminal backend.Terminal) (int, error) {
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
		if ctx.Err() != nil || !isLost(err) || time.Since(lost) > l.patience || !l.reachAgain(ctx) {
			return codeOurs, l.brokeOff(ctx, err)
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
func (l *Live) reachAgain(ctx context.Context) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
		client, err := l.reacher.Again(ctx)
		if err == nil {
			l.supervisor.Close()
			l.supervisor = client
			return true
		}
		if !isLost(err) || time.Since(begun) > l.patience {
			return false
		}
	}
}

func (l *Live) brokeOff(ctx context.Context, err error) error {
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

// Forward implements backend.Live.
func (l *Live) Forward(ctx context.Context, port uint16) (net.Conn, error) {
	stream, err := l.supervisor.Forward(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("connect to port %d: %w", port, err)
	}
	return stream, nil
}

// Halt implements backend.Live. A supervisor that dies meanwhile is started again, to end
// what it has left.
func (l *Live) Halt(ctx context.Context) error {
	for {
		err := l.supervisor.Halt(ctx)
		if err == nil || ctx.Err() != nil || !isLost(err) {
			return err
		}
		if l.reachAgain(ctx) {
			continue
		}
		if l.reacher.Over(ctx) {
			return nil
		}
		return err
	}
}

// Close implements backend.Live.
func (l *Live) Close() error {
	l.supervisor.Close()
	return nil
}
