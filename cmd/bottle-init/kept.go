package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// maxKept bounds the sessions that are kept, those that have ended too.
const maxKept = 16

// kept are the sessions that go on without a client, by their names.
type kept struct {
	mu       sync.Mutex
	sessions map[string]*keptSession
}

// keptSession is one of them.
type keptSession struct {
	tty     bool
	command *command
	output  *output
	// ended is closed when the command has ended and all its output is there; status
	// is how.
	ended  chan struct{}
	status neck.ExitStatus
}

// keep starts a session that goes on without a client, and makes who has asked for it
// the first one: with all of its output, and none of it lost.
func (b *bottle) keep(ctx context.Context, request *neck.SessionRequest, stream neck.Stream, client *neck.Command) {
	started, err := b.kept.start(b, request)
	if err != nil {
		_ = client.Fail(err)
		return
	}
	started.serve(ctx, neck.AttachRequest{Lossless: true}, stream, client)
}

// attach makes the stream's client one of a kept session's.
func (b *bottle) attach(ctx context.Context, request *neck.AttachRequest, stream neck.Stream) {
	defer func() { _ = stream.Close() }()
	if request == nil {
		_ = stream.Refuse(fmt.Errorf("no session to attach to: %w", errdefs.ErrInvalidArgument))
		return
	}
	found, ok := b.kept.find(request.Name)
	if !ok {
		_ = stream.Refuse(fmt.Errorf("no session %q: %w", request.Name, errdefs.ErrNotFound))
		return
	}
	if stream.Accept() == nil {
		found.serve(ctx, *request, stream, neck.NewCommand(stream))
	}
}

// close lets all sessions go; what runs in them ends with this process.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, session := range k.sessions {
		session.output.forget()
	}
}

func (k *kept) find(name string) (*keptSession, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.sessions[name]
	return found, ok
}

// start starts a session under a name that no running one has.
func (k *kept) start(b *bottle, request *neck.SessionRequest) (*keptSession, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sessions == nil {
		k.sessions = map[string]*keptSession{}
	}
	older, ok := k.sessions[request.Keep]
	switch {
	case ok && !older.over():
		return nil, fmt.Errorf("session %q runs: %w", request.Keep, errdefs.ErrAlreadyExists)
	case !ok && len(k.sessions) >= maxKept:
		return nil, fmt.Errorf("more than %d sessions: %w", maxKept, errdefs.ErrResourceExhausted)
	}
	s := &keptSession{tty: request.TTY, ended: make(chan struct{})}
	var shown *screen
	if request.TTY {
		shown = newScreen(int(request.Size.Columns), int(request.Size.Rows))
	}
	s.output = newOutput(shown)
	running, err := b.startCommand(request, s.output.writer(standardOutput), s.output.writer(standardError))
	if err != nil {
		shown.close()
		return nil, err
	}
	s.command = running
	k.sessions[request.Keep] = s
	if older != nil {
		older.output.forget()
	}
	go s.run(b)
	return s, nil
}

// run waits for the command's end.
func (s *keptSession) run(b *bottle) {
	status := <-s.command.ended
	s.command.drain()
	b.telling.settle()
	s.status = neck.ExitStatus{Code: exitCode(status)}
	s.command.close()
	s.output.close()
	close(s.ended)
}

// over says that the command has ended.
func (s *keptSession) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// serve is for one client, until it is gone or has heard the end.
func (s *keptSession) serve(ctx context.Context, request neck.AttachRequest, stream neck.Stream, client *neck.Command) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !request.ReadOnly && request.Size != (neck.Size{}) {
		s.resize(request.Size)
	}
	mine, first := s.output.read(request.From, request.Lossless)
	defer mine.close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		s.follow(client, request.ReadOnly)
	}()
	if s.show(ctx, client, mine, first) {
		<-s.ended // all output is there just before that
		_ = client.Exit(s.status)
	}
	_ = stream.Close()
	// The client ends its side once it has read the exit.
	_ = stream.SetReadDeadline(time.Now().Add(hangUpTime))
	<-gone
}

// show sends output until there is no more, which it says, or the client is gone.
func (s *keptSession) show(ctx context.Context, client *neck.Command, mine *reader, next portion) bool {
	for more := true; more; next, more = mine.next(ctx) {
		var err error
		switch {
		case next.gap:
			if err = client.Position(neck.Position{Offset: next.at, Lost: next.lost, TTY: s.tty}); err == nil && len(next.screen) > 0 {
				err = client.Screen(next.screen)
			}
		case next.outlet == standardError:
			_, err = client.Stderr().Write(next.data)
		default:
			_, err = client.Stdout().Write(next.data)
		}
		if err != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// follow does what a client says until it is gone. The end of one client's input is
// not that of the session's.
func (s *keptSession) follow(client *neck.Command, readOnly bool) {
	for {
		event, err := client.Next()
		if err != nil {
			return
		}
		switch {
		case readOnly, s.over(), event.EOF:
		case event.Size != nil:
			s.resize(*event.Size)
		default:
			s.command.obey(event)
		}
	}
}

func (s *keptSession) resize(size neck.Size) {
	if !s.tty || s.over() {
		return
	}
	s.output.resize(size.Columns, size.Rows)
	s.command.resize(size)
}
