package egress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// maxAnswer bounds what is held of a server's first words while it is unclear
// what they are, in bytes.
const maxAnswer = 64 << 10

// guard is the bottle's end of a connection, as the splice sees it: reading from
// it yields only what has passed the check of the TLS hello, and both directions
// are counted. What the handshake hides later is not looked at.
type guard struct {
	net.Conn
	name string
	// tlsOnly refuses what is not TLS; else only what begins as TLS does is
	// checked.
	tlsOnly bool
	// wait bounds the hello, and the server's answer to it.
	wait time.Duration
	// cut ends the far connection.
	cut func()
	// copy carries what is no longer looked at, as io.Copy does.
	copy func(w io.Writer, r io.Reader) (int64, error)

	next    func() error // the check that comes before the next byte; nil passes all
	pending []byte       // checked, not yet read

	passing  atomic.Bool   // nothing will be checked any more, in either direction
	watching atomic.Bool   // the server's answer is looked at
	answer   []byte        // its beginning
	answered chan struct{} // closed when it is known, or will not come
	once     sync.Once
	again    atomic.Bool // the server wants another hello

	ending sync.Mutex // guards what follows, and the deadline of reads
	ended  bool

	sent, received atomic.Int64 // bytes from the bottle, and to it
	refusal        error        // why the connection was cut; read after the splice
}

func newGuard(conn net.Conn, name string, port uint16, wait time.Duration, cut func()) *guard {
	g := &guard{Conn: conn, name: name, tlsOnly: port == portHTTPS, wait: wait, cut: cut, copy: io.Copy, answered: make(chan struct{})}
	g.next = g.first
	return g
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	for len(g.pending) == 0 {
		if g.next == nil {
			n, err := g.Conn.Read(p)
			g.sent.Add(int64(n))
			return n, err
		}
		if err := g.next(); err != nil {
			if !errors.Is(err, io.EOF) {
				g.refuse(err)
			}
			return 0, err
		}
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	g.sent.Add(int64(n))
	return n, nil
}

// first looks at the first byte: nothing but TLS begins with its kind of record.
func (g *guard) first() error {
	if g.tlsOnly {
		defer g.within()()
	}
	byteOne := make([]byte, 1)
	if _, err := io.ReadFull(g.Conn, byteOne); err != nil {
		return g.late(err)
	}
	if byteOne[0] != recordHandshake {
		if g.tlsOnly {
			return errNotTLS
		}
		g.pending, g.next = byteOne, nil
		g.passing.Store(true)
		return nil
	}
	if !g.tlsOnly {
		defer g.within()()
	}
	return g.hello(io.MultiReader(bytes.NewReader(byteOne), g.Conn), g.afterHello)
}

// hello lets a ClientHello through, if it is right.
func (g *guard) hello(r io.Reader, next func() error) error {
	message, err := readHello(r)
	if err == nil {
		err = checkHello(message, g.name)
	}
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the TLS hello is cut short: %w", errdefs.ErrPermissionDenied)
		}
		g.alert()
		return g.late(err)
	}
	g.pending, g.next = record(message), next
	g.watching.Store(next != nil)
	g.passing.Store(next == nil)
	return nil
}

// afterHello waits for the server's answer. One that asks for another hello gets
// it after the same check: a second hello could name another host.
func (g *guard) afterHello() error {
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case <-g.answered:
	case <-timer.C:
		return fmt.Errorf("%s does not answer the TLS hello: %w", g.name, errdefs.ErrUnavailable)
	}
	if !g.again.Load() {
		g.next = nil
		g.passing.Store(true)
		return nil
	}
	defer g.within()()
	// A change of ciphers that means nothing may come before it.
	head := make([]byte, 1)
	if _, err := io.ReadFull(g.Conn, head); err != nil {
		return g.late(err)
	}
	var before []byte
	if head[0] == recordChangeCipher {
		rest := make([]byte, recordHeader+1)
		if _, err := io.ReadFull(g.Conn, rest); err != nil {
			return g.late(err)
		}
		before = append(head, rest[:recordHeader]...)
		if !bytes.Equal(before[1:], []byte{3, 3, 0, 1, 1}) {
			return errNotTLS
		}
		head = rest[recordHeader:]
	}
	if err := g.hello(io.MultiReader(bytes.NewReader(head), g.Conn), nil); err != nil {
		return err
	}
	g.pending[2] = 3 // a version is agreed on by now, and records say so
	g.pending = append(before, g.pending...)
	return nil
}

// within bounds what is read until the returned function is called.
func (g *guard) within() (done func()) {
	g.bound(time.Now().Add(g.wait))
	return func() { g.bound(time.Time{}) }
}

// bound sets the deadline of reads, unless the connection was ended meanwhile.
func (g *guard) bound(at time.Time) {
	g.ending.Lock()
	defer g.ending.Unlock()
	if !g.ended {
		_ = g.SetReadDeadline(at)
	}
}

// end ends both directions, whatever is being read.
func (g *guard) end() {
	g.ending.Lock()
	defer g.ending.Unlock()
	g.ended = true
	hangUp(g)
}

// late says in words that a hello took too long.
func (g *guard) late(err error) error {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no whole TLS hello came within %s: %w", g.wait, errdefs.ErrPermissionDenied)
	}
	return err
}

func (g *guard) refuse(err error) {
	g.refusal = err
	g.cut()
}

// alert tells the client why, as TLS does: access denied.
func (g *guard) alert() {
	_ = g.SetWriteDeadline(time.Now().Add(g.wait))
	_, _ = g.Conn.Write([]byte{21, 3, 3, 0, 2, 2, 49})
	_ = g.SetWriteDeadline(time.Time{})
}

// Write implements io.Writer.
func (g *guard) Write(p []byte) (int, error) {
	if g.watching.Load() {
		g.watch(p)
	}
	n, err := g.Conn.Write(p)
	g.received.Add(int64(n))
	return n, err
}

// watch looks at the beginning of the server's answer.
func (g *guard) watch(p []byte) {
	g.answer = append(g.answer, p...)
	again, known := asksAgain(g.answer)
	if !known && len(g.answer) < maxAnswer {
		return
	}
	g.again.Store(again)
	g.answer = nil
	g.watching.Store(false)
	g.once.Do(func() { close(g.answered) })
}

// Close ends both directions, where the bottle's end can.
func (g *guard) Close() error {
	g.once.Do(func() { close(g.answered) })
	return g.Conn.Close()
}

// CloseWrite ends what goes to the bottle.
func (g *guard) CloseWrite() error {
	g.once.Do(func() { close(g.answered) })
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return g.Conn.Close()
}
