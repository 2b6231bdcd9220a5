package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// openStreams are the connections that are asked for or open.
type openStreams struct {
	mu   sync.Mutex
	list map[*openStream]struct{}
}

type openStream struct {
	host string
	port uint16
	cut  context.CancelCauseFunc
}

// cutError is the cause of a context whose connection is no longer allowed.
type cutError struct{ err error }

// Error implements error.
func (e *cutError) Error() string { return fmt.Sprintf("cut: %v", e.err) }

// Unwrap returns what the policy says now.
func (e *cutError) Unwrap() error { return e.err }

// cutBy says why the connection of ctx was cut, if it was.
func cutBy(ctx context.Context) error {
	var cut *cutError
	if errors.As(context.Cause(ctx), &cut) {
		return cut
	}
	return nil
}

// add makes a connection known until done is called.
func (o *openStreams) add(ctx context.Context, host string, port uint16) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	added := &openStream{host: host, port: port, cut: cancel}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.list == nil {
		o.list = map[*openStream]struct{}{}
	}
	o.list[added] = struct{}{}
	return ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.list, added)
		cancel(nil)
	}
}

// Recheck cuts the connections that the policy no longer allows, and returns how
// many there were. Those that wait for the user's answer go on waiting.
func (s *Screen) Recheck() int {
	s.open.mu.Lock()
	defer s.open.mu.Unlock()
	count := 0
	for known := range s.open.list {
		_, err := s.options.Dialer.Policy.Decide(known.host, known.port)
		if err == nil || undecided(err) || errdefs.IsInvalidArgument(err) {
			continue
		}
		known.cut(&cutError{err})
		delete(s.open.list, known) // it ends in its own time, and is counted once
		count++
	}
	s.web.transport.CloseIdleConnections()
	return count
}

func (s *Screen) decide(ctx context.Context, host string, port uint16) (Verdict, error) {
	if s.options.Await != nil {
		return s.options.Await(ctx, host, port)
	}
	return s.options.Dialer.Policy.Decide(host, port)
}

// hangUp ends both directions: Close alone would wait for the bottle to end what
// it says.
func hangUp(conn net.Conn) {
	_ = conn.SetDeadline(time.Now())
	_ = conn.Close()
}
