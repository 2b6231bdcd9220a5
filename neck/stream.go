package neck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/yamux"
)

// Bounds of one link.
const (
	acceptBacklog = 64
	requestWait   = 10 * time.Second // for the far end to say what a stream is for
	windowSize    = 256 << 10        // bytes of one stream on their way
)

// Stream is one stream of a link, or a line beside it, after its request was
// answered. CloseWrite ends what we write; what the far end still writes can be
// read until it closes, too. Close of a stream of a link does no more than that.
type Stream struct {
	net.Conn
}

// CloseWrite ends what we write.
func (s Stream) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Close()
}

// Accept answers the request of the stream with yes.
func (s Stream) Accept() error { return writeMessage(s, reply{}) }

// Refuse answers it with the error, and ends the stream. The kind of the error
// arrives at the far end.
func (s Stream) Refuse(err error) error {
	writeErr := writeMessage(s, reply{Error: err.Error(), Class: classOf(err)})
	return errors.Join(writeErr, s.Close())
}

// classes are the kinds of error that cross the link.
var classes = []struct {
	name string
	kind error
}{
	{"not found", errdefs.ErrNotFound},
	{"permission denied", errdefs.ErrPermissionDenied},
	{"invalid argument", errdefs.ErrInvalidArgument},
	{"unavailable", errdefs.ErrUnavailable},
	{"resource exhausted", errdefs.ErrResourceExhausted},
	{"not implemented", errdefs.ErrNotImplemented},
	{"already exists", errdefs.ErrAlreadyExists},
	{"failed precondition", errdefs.ErrFailedPrecondition},
	{"conflict", errdefs.ErrConflict},
}

// Failure is an error in the form in which it crosses a link.
type Failure struct {
	Text  string `json:"error"`
	Class string `json:"class,omitempty"`
}

// FailureOf is the error in that form.
func FailureOf(err error) *Failure { return &Failure{Text: err.Error(), Class: classOf(err)} }

// Err is the error again, with its kind.
func (f Failure) Err() error { return farError(f.Text, f.Class) }

func classOf(err error) string {
	for _, class := range classes {
		if errors.Is(err, class.kind) {
			return class.name
		}
	}
	return ""
}

// farError rebuilds an error of the far end, whose text mostly ends with its kind.
func farError(text, class string) error {
	for _, known := range classes {
		if known.name == class {
			return fmt.Errorf("%s: %w", strings.TrimSuffix(text, ": "+known.kind.Error()), known.kind)
		}
	}
	return errors.New(text)
}

// Handler answers a request of the far end: with Accept or Refuse first, and
// then with whatever the kind is about. It closes the stream. ctx ends with the
// link.
type Handler func(ctx context.Context, request Request, stream Stream)

// Conn is a link.
type Conn struct {
	session *yamux.Session
}

// Client makes a link of the connection whose other end is a Server. The link
// owns the connection.
func Client(conn net.Conn) (*Conn, error) {
	session, err := yamux.Client(conn, configuration())
	if err != nil {
		return nil, fmt.Errorf("open link: %w", err)
	}
	return &Conn{session}, nil
}

// Server is the other end of Client.
func Server(conn net.Conn) (*Conn, error) {
	session, err := yamux.Server(conn, configuration())
	if err != nil {
		return nil, fmt.Errorf("open link: %w", err)
	}
	return &Conn{session}, nil
}

// ServerOfStranger is Server for a far end that is not trusted.
func ServerOfStranger(conn net.Conn) (*Conn, error) { return Server(&pingBound{Conn: conn}) }

func configuration() *yamux.Config {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = acceptBacklog
	config.MaxStreamWindowSize = windowSize
	config.StreamOpenTimeout = 0 // a far end that is slow to accept is no broken link
	config.LogOutput = io.Discard
	return config
}

// Open opens a stream for the request and waits for the answer.
func (c *Conn) Open(ctx context.Context, request Request) (Stream, error) {
	opened, err := c.session.OpenStream()
	if err != nil {
		return Stream{}, fmt.Errorf("open stream: %w: %w", err, errdefs.ErrUnavailable)
	}
	stream := Stream{opened}
	// The end of ctx breaks the wait off, not the stream.
	stop := context.AfterFunc(ctx, func() { _ = stream.SetWriteDeadline(time.Now()) })
	err = writeMessage(stream, request)
	if !stop() {
		err = context.Cause(ctx)
	}
	if errors.Is(err, yamux.ErrSessionShutdown) {
		err = nil // the far end may have had it, and answered, before it went
	}
	if err == nil {
		err = readAnswer(ctx, stream)
	}
	if err != nil {
		_ = stream.Close()
		return Stream{}, err
	}
	return stream, nil
}

// Bounds are what a far end may take up.
type Bounds struct {
	Streams int   // open at a time
	Request int64 // bytes of one request
	// Strict ends the link of a far end that opens more: what it sends on a stream that is
	// only closed would still take room.
	Strict bool
	// Enter counts a stream together with those of other links; nil counts none. One that
	// it does not let in counts as one too many here.
	Enter func() (leave func(), ok bool)
}

// enter takes a place for a stream, unless there is none.
func (b Bounds) enter(slots chan struct{}) (leave func(), ok bool) {
	select {
	case slots <- struct{}{}:
	default:
		return nil, false
	}
	if b.Enter == nil {
		return func() { <-slots }, true
	}
	others, ok := b.Enter()
	if !ok {
		<-slots
		return nil, false
	}
	return func() { others(); <-slots }, true
}

var errStreams = errors.New("more streams than may be open at a time")

// Serve answers the requests of the far end until the link or ctx ends, and then
// waits for the handlers.
func (c *Conn) Serve(ctx context.Context, bounds Bounds, handle Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.session.Close() })
	defer stop()
	slots := make(chan struct{}, bounds.Streams)
	for {
		accepted, err := c.session.AcceptStream()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("accept stream: %w", err)
		}
		leave, ok := bounds.enter(slots)
		if !ok {
			if bounds.Strict {
				return errStreams
			}
			_ = accepted.Close()
			continue
		}
		group.Go(func() {
			defer leave()
			_ = accepted.SetDeadline(time.Now().Add(requestWait))
			serveStream(ctx, Stream{accepted}, bounds.Request, handle)
		})
	}
}

func serveStream(ctx context.Context, stream Stream, most int64, handle Handler) {
	var request Request
	if err := readMessage(stream, most, &request); err != nil {
		_ = stream.Close()
		return
	}
	_ = stream.SetDeadline(time.Time{})
	handle(ctx, request, stream)
}

// Done is closed when the link has ended.
func (c *Conn) Done() <-chan struct{} { return c.session.CloseChan() }

// Close ends the link and every stream on it.
func (c *Conn) Close() error { return c.session.Close() }
