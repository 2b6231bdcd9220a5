package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// helloWait bounds a client's TLS hello, and the server's answer to it.
const helloWait = 30 * time.Second

// Ports whose protocol is known by their number.
const (
	portHTTP  = 80
	portHTTPS = 443
)

// What is logged as the rule that refuses, where no entry of the bottle file does.
const (
	ruleDefault = "no rule allows it"
	rulePrivate = "addresses that are not public"
	ruleTLS     = "TLS names its host"
	ruleHTTP    = "HTTP names its host"
)

// Stream is a connection that a bottle asks for, until it is accepted or
// refused. Close ends what goes to the bottle.
type Stream interface {
	net.Conn
	// Accept says yes to the bottle, Refuse no; a refused stream is closed.
	Accept() error
	Refuse(err error) error
}

// ScreenOptions are what a screen needs.
type ScreenOptions struct {
	Dialer *Dialer
	// Await is asked before the dialer's policy, and may take its time; nil asks
	// the policy at once.
	Await func(ctx context.Context, host string, port uint16) (Verdict, error)
	// Splice carries bytes between two connections until both directions have
	// ended, and closes them.
	Splice func(a, b io.ReadWriteCloser)
	// Copy carries one direction until it ends; nil takes io.Copy.
	Copy func(w io.Writer, r io.Reader) (int64, error)
	// Log hears of every connection once it has ended or was refused.
	Log func(Event)
}

// Screen carries the connections of a bottle to what the policy allows. It picks
// the check of what is said over them by the port, and counts the bytes.
type Screen struct {
	options ScreenOptions
	wait    time.Duration
	web     *webHosts
	open    openStreams
}

// NewScreen returns a screen that serves until Close.
func NewScreen(options ScreenOptions) *Screen {
	dial := func(ctx context.Context, name string) (net.Conn, error) {
		return options.Dialer.Dial(ctx, name, portHTTP)
	}
	return &Screen{options: options, wait: helloWait, web: newWebHosts(dial)}
}

// Close ends the connections to port 80; the others end with their contexts.
func (s *Screen) Close() { s.web.close() }

// Serve answers one stream, and returns when the connection has ended. The error
// says why it was refused or cut.
func (s *Screen) Serve(ctx context.Context, host string, port uint16, stream Stream) error {
	begun := time.Now()
	event := Event{Kind: KindDial, Host: backend.Printable(host), Port: port}
	// Known before it is decided on: a change of mind misses none.
	ctx, done := s.open.add(ctx, host, port)
	defer done()
	accepted, err := s.serve(ctx, host, port, stream, &event)
	// A host that does not answer was allowed all the same.
	event.Allowed = !errdefs.IsPermissionDenied(err) && !errdefs.IsInvalidArgument(err)
	if err != nil {
		event.Reason = backend.Printable(err.Error())
	}
	event.Millis = time.Since(begun).Milliseconds()
	s.options.Log(event)
	if !accepted {
		// After it is logged: who has seen the refusal finds it there.
		_ = stream.Refuse(told(err))
	}
	return err
}

// serve says whether the stream was accepted; what was not is still to be refused.
func (s *Screen) serve(ctx context.Context, host string, port uint16, stream Stream, event *Event) (accepted bool, err error) {
	verdict, err := s.decide(ctx, host, port)
	if err != nil {
		event.Rule = RuleOf(err)
		return false, err
	}
	defer func() {
		if cut := cutBy(ctx); cut != nil {
			event.Rule, err = RuleOf(cut), cut
		}
	}()
	event.Rule = verdict.Rule
	if port == portHTTP {
		return true, s.serveWeb(ctx, verdict, stream, event)
	}
	conn, err := s.options.Dialer.dial(ctx, verdict, port)
	if err != nil {
		if private := (*privateError)(nil); errors.As(err, &private) {
			event.Rule = rulePrivate
		}
		return false, err
	}
	if err := stream.Accept(); err != nil {
		_ = conn.Close()
		return true, err
	}
	guarded := newGuard(stream, verdict.Name, port, s.wait, func() { _ = conn.Close() })
	if s.options.Copy != nil {
		guarded.copy = s.options.Copy
	}
	// The end of the link must end this, too, however silent both ends are.
	stop := context.AfterFunc(ctx, func() {
		_ = conn.Close()
		guarded.end()
	})
	defer stop()
	s.options.Splice(guarded, conn)
	event.Sent, event.Received = guarded.sent.Load(), guarded.received.Load()
	if guarded.refusal != nil {
		event.Rule = ruleTLS
	}
	return true, guarded.refusal
}

// serveWeb carries HTTP in the clear; what it can't reach is said in HTTP.
func (s *Screen) serveWeb(ctx context.Context, verdict Verdict, stream Stream, event *Event) (err error) {
	if err := stream.Accept(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { hangUp(stream) })
	defer stop()
	event.Sent, event.Received, err = s.web.serve(stream, verdict.Name)
	var private *privateError
	switch {
	case errors.As(err, &private):
		event.Rule = rulePrivate
	case errdefs.IsPermissionDenied(err):
		event.Rule = ruleHTTP
	}
	return err
}
