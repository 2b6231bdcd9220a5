package neck

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
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

// maxLines bounds the lines of a bottle. What waits in one is in the kernel: a
// socket's buffer from the bottle, which the bottle pays for, and a pipe.
const maxLines = 256

// line is one end of a line. Close ends both directions.
type line struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close implements io.Closer.
func (l *line) Close() error {
	err := l.Conn.Close()
	l.once.Do(l.release)
	return err
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
// opened for it.
func (h *Host) serveLine(ctx context.Context, conn net.Conn, present *lines) {
	ctx, cancel := context.WithCancel(ctx)
	taken, err := present.add(conn, cancel)
	if err != nil {
		cancel()
		_ = Stream{conn}.Refuse(err)
		return
	}
	serveStream(ctx, Stream{taken}, fromInside().Request, h.options.Handle)
}

// openLine opens a connection of its own for the request.
func (g *Guest) openLine(ctx context.Context, token [tokenSize]byte, request Request) (Stream, error) {
	conn, err := g.Dial(ctx)
	if err != nil {
		return Stream{}, fmt.Errorf("dial neck: %w: %w", err, errdefs.ErrUnavailable)
	}
	stream := Stream{&line{Conn: conn, release: func() {}}}
	hello := append([]byte(lineGreeting), token[:]...)
	err = converse(ctx, stream, func() error {
		return writeMessage(&prefixed{stream, hello}, request)
	})
	if err != nil {
		return Stream{}, err
	}
	return stream, nil
}

// prefixed puts bytes before the first write, so that both go out at once.
type prefixed struct {
	io.Writer
	prefix []byte
}

func (p *prefixed) Write(data []byte) (int, error) {
	before := len(p.prefix)
	n, err := p.Writer.Write(append(p.prefix, data...))
	p.prefix = nil
	return max(0, n-before), err
}

// converse sends a request and waits for the answer. The end of ctx breaks that
// off, not the stream after it.
func converse(ctx context.Context, stream Stream, send func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	var answer reply
	err := send()
	if err == nil {
		err = readMessage(stream, maxMessage, &answer)
	}
	if !stop() {
		_ = stream.Close()
		return context.Cause(ctx)
	}
	if err == nil && answer.Error != "" {
		err = farError(answer.Error, answer.Class)
	}
	if err != nil {
		_ = stream.Close()
	}
	return err
}
