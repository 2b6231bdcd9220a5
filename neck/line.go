package neck

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// lineGreeting begins a line from inside, before the token: a connection of its
// own for one stream, so that the kernel carries its bytes and no multiplexer
// does. A request follows at once. It is as long as greeting.
const lineGreeting = "bottle-line/1\n"

// maxLines bounds the lines of a bottle. What waits in one is in the kernel: what
// the bottle sends in a buffer that it pays for itself, what goes to it in one of
// lineBuffer bytes, and that the kernel doubles.
const (
	maxLines    = 256
	lineBuffer  = 256 << 10
	guestBuffer = 1 << 20
)

// widen lets more be on its way than a socket's usual buffer: each time that one
// is full costs a change from process to process.
func widen(conn net.Conn, size int) {
	if sized, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = sized.SetWriteBuffer(size) // no harm where it can't be
	}
}

// line is one end of a line. Close ends both directions.
type line struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close implements io.Closer.
func (l *line) Close() error {
	l.once.Do(l.release) // before the far end sees that, and comes anew
	return l.Conn.Close()
}

// CloseWrite ends what we write.
func (l *line) CloseWrite() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return l.Close()
}

// lines are those of one link: they end with it.
type lines struct {
	mu    sync.Mutex
	open  map[*line]struct{}
	ended bool
}

func newLines() *lines { return &lines{open: map[*line]struct{}{}} }

// add takes a connection up; cancel is called when the link ends or the line is
// closed. It fails when there are too many, and when the link has ended.
func (l *lines) add(conn net.Conn, cancel context.CancelFunc) (*line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, fmt.Errorf("the neck is closed: %w", errdefs.ErrUnavailable)
	}
	if len(l.open) >= maxLines {
		return nil, fmt.Errorf("more than %d connections: %w", maxLines, errdefs.ErrResourceExhausted)
	}
	added := &line{Conn: conn}
	added.release = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, added)
		cancel()
	}
	l.open[added] = struct{}{}
	return added, nil
}

// end closes them all.
func (l *lines) end() {
	l.mu.Lock()
	l.ended = true
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, each := range open {
		_ = each.Close()
	}
}

// knows returns the lines of the present link, for one who knows the token.
// Before the first link there is none, and nobody does.
func (h *Host) knows(presented []byte) (*lines, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token == nil || subtle.ConstantTimeCompare(presented, h.token) != 1 {
		return nil, errors.New("a line without the token")
	}
	return h.lines, nil
}

// serveLine answers the request that follows on a connection that PID 1 has
// opened for it. PID 1 opens some ahead of their use, so that it may come late.
func (h *Host) serveLine(ctx context.Context, conn net.Conn, present *lines) {
	ctx, cancel := context.WithCancel(ctx)
	taken, err := present.add(conn, cancel)
	if err != nil {
		cancel()
		_ = Stream{conn}.Refuse(err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	widen(conn, lineBuffer)
	serveStream(ctx, Stream{taken}, fromInside().Request, h.options.Handle)
}
