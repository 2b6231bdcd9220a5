package supervise

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
)

// limitLife ends a detached bottle that has lived as long as was declared, or in which
// nothing has happened for as long.
func (s *supervisor) limitLife(ctx context.Context) {
	life := s.config.Life
	if life == nil || life.ActiveDeadlineSeconds == 0 && life.IdleTimeoutSeconds == 0 {
		return
	}
	select {
	case <-s.claude.detaches:
	case <-ctx.Done():
		return
	}
	// The clock is asked once, and by nobody who would take more than was declared:
	// what it has jumped since the start moves the end no further away.
	var deadline, idle <-chan time.Time
	if allowed := life.ActiveDeadline(); allowed > 0 {
		timer := time.NewTimer(allowed - min(max(time.Since(s.claude.started()), 0), allowed))
		defer timer.Stop()
		deadline = timer.C
	}
	s.idle.touch()
	for {
		var waiting *time.Timer
		if allowed := life.IdleTimeout(); allowed > 0 {
			waiting = time.NewTimer(allowed - s.idle.since())
			idle = waiting.C
		}
		select {
		case <-deadline:
			s.finish(ctx, backend.ReasonDeadline)
			return
		case <-idle:
			if s.idle.since() < life.IdleTimeout() {
				continue
			}
			s.finish(ctx, backend.ReasonIdle)
			return
		case <-ctx.Done():
			if waiting != nil {
				waiting.Stop()
			}
			return
		}
	}
}

// started is when claude was started first; before that it is now.
func (c *claude) started() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.Started.IsZero() {
		return time.Now()
	}
	return c.session.Started
}

// idle knows when something has happened in a bottle last: claude has said something, a
// client has, or something went in or out through the neck.
type idle struct {
	epoch time.Time
	last  atomic.Int64 // since epoch, by the clock that never jumps
}

func newIdle() *idle { return &idle{epoch: time.Now()} }

func (i *idle) touch() { i.last.Store(int64(time.Since(i.epoch))) }

func (i *idle) since() time.Duration { return time.Since(i.epoch) - time.Duration(i.last.Load()) }

// writer notes what is written.
func (i *idle) writer(to io.Writer) io.Writer { return touching{to, i} }

type touching struct {
	io.Writer
	idle *idle
}

// Write implements io.Writer.
func (t touching) Write(data []byte) (int, error) {
	t.idle.touch()
	return t.Writer.Write(data)
}

// through notes what goes through a stream, where that matters.
func (s *supervisor) through(stream neck.Stream) neck.Stream {
	if s.config.Life == nil || s.config.Life.IdleTimeoutSeconds == 0 {
		return stream
	}
	s.idle.touch()
	return neck.Stream{Conn: touchingConn{stream.Conn, s.idle}}
}

type touchingConn struct {
	net.Conn
	idle *idle
}

// Read implements io.Reader.
func (t touchingConn) Read(data []byte) (int, error) {
	n, err := t.Conn.Read(data)
	t.idle.touch()
	return n, err
}

// Write implements io.Writer.
func (t touchingConn) Write(data []byte) (int, error) {
	t.idle.touch()
	return t.Conn.Write(data)
}

// CloseWrite ends what is written.
func (t touchingConn) CloseWrite() error { return neck.Stream{Conn: t.Conn}.CloseWrite() }
