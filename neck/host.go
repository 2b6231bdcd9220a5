package neck

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// greeting begins a neck from inside, before the token.
const greeting = "bottle-neck/1\n"

const (
	tokenSize     = 32
	handshakeWait = 5 * time.Second
)

// fromInside is what a bottle may take up of a link, lines aside. With the backlog and the window of
// each stream, no more than 64 MiB of its bytes ever wait on the host.
func fromInside() Bounds { return Bounds{Streams: 192, Request: 4 << 10} }

// HostOptions are what a host end needs.
type HostOptions struct {
	// Names go to PID 1 when the neck opens.
	Names Names
	// Handle answers the streams that the bottle opens.
	Handle Handler
	// Token is what the bottle presents already, to a host end that takes another's
	// place; nil is a bottle that has yet to come. It has 32 bytes.
	Token []byte
	// Issued hears the token before the bottle does; an error refuses the bottle. Nil
	// is nobody who wants to know.
	Issued func(token []byte) error
}

// Host is the host end of a bottle's neck. It outlives the connections: one at a
// time, the first of which gets the token that every later one must present.
type Host struct {
	options HostOptions

	// naming is held while a table is sent, so that the newest is the last.
	naming sync.Mutex

	mu      sync.Mutex
	token   []byte // nil until the first connection
	link    *Conn  // nil while there is none
	lines   *lines // of the newest link
	coming  *Conn  // has the token, and no table of names yet; one at a time
	changed chan struct{}
	ready   chan struct{}
	once    sync.Once
}

// NewHost returns a host end that waits for its bottle.
func NewHost(options HostOptions) *Host {
	return &Host{options: options, token: options.Token, changed: make(chan struct{}), ready: make(chan struct{})}
}

// Ready is closed when the neck has opened for the first time.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Serve accepts the bottle's connections until ctx ends or the listener breaks.
// It owns the listener.
func (h *Host) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	greeters := newGreeters()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept neck: %w", err)
		}
		leave := greeters.enter(conn)
		group.Go(func() {
			serve, err := h.greet(conn)
			leave()
			if err != nil {
				_ = conn.Close()
				return
			}
			serve(ctx)
		})
	}
}

// greet reads who dials. The first to come is PID 1, for nothing else runs yet;
// it is given the token. Later ones must know it. What is returned serves the
// connection.
func (h *Host) greet(conn net.Conn) (serve func(context.Context), err error) {
	_ = conn.SetDeadline(time.Now().Add(handshakeWait))
	hello := make([]byte, len(greeting)+tokenSize)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	kind, presented := string(hello[:len(greeting)]), hello[len(greeting):]
	if kind == lineGreeting {
		present, err := h.knows(presented)
		return func(ctx context.Context) { h.serveLine(ctx, conn, present) }, err
	}
	if kind != greeting {
		return nil, errors.New("unknown greeting")
	}
	// There before PID 1 hears that it may open lines.
	opened := newLines()
	token, err := h.admit(presented, opened)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(token); err != nil {
		opened.end()
		return nil, fmt.Errorf("answer greeting: %w", err)
	}
	_ = conn.SetDeadline(time.Time{})
	return func(ctx context.Context) {
		defer opened.end()
		h.serve(ctx, conn)
	}, nil
}

func (h *Host) admit(presented []byte, opened *lines) (_ []byte, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		if err == nil {
			h.lines = opened
		}
	}()
	if h.token == nil {
		token := make([]byte, tokenSize)
		if _, err := rand.Read(token); err != nil {
			return nil, fmt.Errorf("make token: %w", err)
		}
		if h.options.Issued != nil {
			if err := h.options.Issued(token); err != nil {
				return nil, fmt.Errorf("note token: %w", err)
			}
		}
		h.token = token
		return token, nil
	}
	if subtle.ConstantTimeCompare(presented, h.token) != 1 {
		return nil, errors.New("a neck without the token")
	}
	return h.token, nil
}

// serve runs one link until it ends. An older one that nobody has missed yet is
// dropped: who knows the token is PID 1, and it has dialled anew.
func (h *Host) serve(ctx context.Context, conn net.Conn) {
	link, err := ServerOfStranger(conn)
	if err != nil {
		_ = conn.Close()
		return
	}
	defer func() { _ = link.Close() }()
	h.await(link)
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		// Names first, so that nothing inside asks before they are known.
		h.naming.Lock()
		defer h.naming.Unlock()
		if err := h.sendNames(ctx, link); err != nil {
			_ = link.Close()
			return
		}
		h.set(link)
	})
	_ = link.Serve(ctx, fromInside(), h.options.Handle)
	h.unset(link)
}

// await notes a link that is to get the names. One that still waits for that is
// dropped: who could hold many would have the bounds of a link many times over.
func (h *Host) await(link *Conn) {
	h.mu.Lock()
	older := h.coming
	h.coming = link
	h.mu.Unlock()
	if older != nil {
		_ = older.Close()
	}
}

func (h *Host) set(link *Conn) {
	h.mu.Lock()
	older := h.link
	h.link = link
	if h.coming == link {
		h.coming = nil
	}
	close(h.changed)
	h.changed = make(chan struct{})
	h.mu.Unlock()
	h.once.Do(func() { close(h.ready) })
	if older != nil {
		_ = older.Close()
	}
}

func (h *Host) unset(link *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link == link {
		h.link = nil
	}
	if h.coming == link {
		h.coming = nil
	}
}

// Open opens a stream to PID 1, and waits for a neck while there is none.
func (h *Host) Open(ctx context.Context, request Request) (Stream, error) {
	for {
		h.mu.Lock()
		link, changed := h.link, h.changed
		h.mu.Unlock()
		if link != nil {
			return link.Open(ctx, request)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Stream{}, fmt.Errorf("the neck is closed: %w: %w", context.Cause(ctx), errdefs.ErrUnavailable)
		}
	}
}

// SetNames gives PID 1 another table, now and whenever it dials anew. An error
// says that it has yet to take it.
func (h *Host) SetNames(ctx context.Context, names Names) error {
	h.naming.Lock()
	defer h.naming.Unlock()
	h.options.Names = names
	h.mu.Lock()
	link := h.link
	h.mu.Unlock()
	if link == nil {
		return nil // it gets them when it dials
	}
	return h.sendNames(ctx, link)
}

// sendNames tells one link of the names. h.naming is held.
func (h *Host) sendNames(ctx context.Context, link *Conn) error {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	stream, err := link.Open(ctx, Request{Kind: KindNames, Names: &h.options.Names})
	if err != nil {
		return fmt.Errorf("tell PID 1 of names: %w", err)
	}
	return stream.Close()
}
