package neck

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// fromHost is what the host may ask for: many sessions, and large tables of
// names.
func fromHost() Bounds { return Bounds{Streams: 256, Request: maxMessage} }

// Guest is the end inside the bottle: it dials, and dials again when the link is
// lost.
type Guest struct {
	// Dial connects to the neck's socket.
	Dial func(ctx context.Context) (net.Conn, error)
	// Handle answers the streams that the host opens.
	Handle Handler

	mu    sync.Mutex
	token [tokenSize]byte
	link  *Conn
	// spares are lines that wait for their request.
	spares chan Stream
}

// Run keeps the neck open until ctx ends.
func (g *Guest) Run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		if err := g.once(ctx); err == nil {
			pause = firstPause // it was open for a while
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, longestPause)
	}
}

func (g *Guest) once(ctx context.Context) error {
	conn, err := g.Dial(ctx)
	if err != nil {
		return fmt.Errorf("dial neck: %w", err)
	}
	if err := g.greet(conn); err != nil {
		_ = conn.Close()
		return err
	}
	link, err := Client(conn)
	if err != nil {
		_ = conn.Close()
		return err
	}
	spares := make(chan Stream, spareLines-1) // one more is at hand
	g.set(link, spares)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	defer g.set(nil, nil)
	group.Go(func() { g.keepSpares(ctx, spares) })
	return link.Serve(ctx, fromHost(), g.Handle)
}

func (g *Guest) greet(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(handshakeWait))
	if _, err := conn.Write(append([]byte(greeting), g.token[:]...)); err != nil {
		return fmt.Errorf("greet host: %w", err)
	}
	var token [tokenSize]byte
	if _, err := io.ReadFull(conn, token[:]); err != nil {
		return fmt.Errorf("read answer to greeting: %w", err)
	}
	g.mu.Lock()
	g.token = token // Open reads it
	g.mu.Unlock()
	return conn.SetDeadline(time.Time{})
}

func (g *Guest) set(link *Conn, spares chan Stream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.link, g.spares = link, spares
}

// Open opens a stream to the host. Without a neck it fails at once.
func (g *Guest) Open(ctx context.Context, request Request) (Stream, error) {
	g.mu.Lock()
	link := g.link
	g.mu.Unlock()
	if link == nil {
		return Stream{}, fmt.Errorf("the neck is closed: %w", errdefs.ErrUnavailable)
	}
	return link.Open(ctx, request)
}
