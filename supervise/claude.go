package supervise

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// keptSession is the name of claude's session where that goes on without a client.
const keptSession = "claude"

// Kinds of request about it, beside neck.KindAttach.
const (
	kindBegin  neck.Kind = "begin"  // start it; answered once it runs
	kindDetach neck.Kind = "detach" // the bottle lives on without its launcher
	kindHalt   neck.Kind = "halt"   // end claude, then the bottle; the stream ends when it is gone
)

const (
	// haltGrace is what claude has between TERM and the end of its bottle.
	haltGrace = 10 * time.Second
	// relinkWait is how long a neck that was cut is waited for.
	relinkWait = 10 * time.Second
)

// claude is the session of a bottle where that goes on without a client. This process
// is the one client that loses nothing of it.
type claude struct {
	begins  chan begin  // one at most
	signals chan string // for it

	mu       sync.Mutex
	begun    bool
	detached bool
	stopped  bool // by a user
	// outcome is of the session; it has ended when its Finished is set.
	outcome backend.Outcome
}

// begin is a wish for the session. What is answered says whether it runs.
type begin struct {
	request neck.SessionRequest
	answer  chan error
}

// newClaude is one that has yet to begin, or goes on under another supervisor.
func newClaude(again *Again) *claude {
	c := &claude{begins: make(chan begin, 1), signals: make(chan string, 1)}
	if again != nil {
		c.begun, c.detached, c.outcome.Started = true, true, again.Started
	}
	return c
}

// isDetached says that the bottle lives on without its launcher.
func (c *claude) isDetached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.detached
}

// take says that nobody has begun it before.
func (c *claude) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.begun
	c.begun = true
	return first
}

// begin answers a client that wants claude's session to start.
func (s *supervisor) begin(ctx context.Context, request neck.Request, stream neck.Stream) error {
	switch {
	case request.Session == nil:
		return stream.Refuse(fmt.Errorf("no session to begin: %w", errdefs.ErrInvalidArgument))
	case !s.claude.take():
		return stream.Refuse(fmt.Errorf("claude was begun already: %w", errdefs.ErrAlreadyExists))
	}
	wish := begin{request: *request.Session, answer: make(chan error, 1)}
	wish.request.Keep = keptSession
	s.claude.begins <- wish
	select {
	case err := <-wish.answer:
		if err != nil {
			return stream.Refuse(err)
		}
		return errors.Join(stream.Accept(), stream.Close())
	case <-ctx.Done():
		return stream.Refuse(context.Cause(ctx))
	}
}

// keepClaude follows the session, when it is begun, to its end.
func (s *supervisor) keepClaude(ctx context.Context) {
	wish := begin{answer: make(chan error, 1)}
	if s.config.Again == nil {
		select {
		case wish = <-s.claude.begins:
		case <-ctx.Done():
			return
		}
	}
	status, err := s.followClaude(ctx, wish)
	if ctx.Err() != nil {
		return // the bottle is going
	}
	if err != nil {
		log.G(ctx).WithError(err).Warn("follow claude")
	}
	s.claude.ended(status, err)
	s.endIfOver()
}

// followClaude starts the session, answers the wish, and writes down what is said. A
// neck that was cut opens again, and it goes on from there; so does one whose last
// supervisor has died.
func (s *supervisor) followClaude(ctx context.Context, wish begin) (neck.ExitStatus, error) {
	once := sync.OnceFunc(func() { s.claude.starts(); wish.answer <- nil })
	failed := func(err error) (neck.ExitStatus, error) {
		select {
		case wish.answer <- err:
		default: // it was answered before
		}
		return neck.ExitStatus{}, err
	}
	said, err := openSessionLog(ctx, s.config.State, s.config.Again != nil)
	if err != nil {
		return failed(err)
	}
	defer said.close()
	had := said.offset
	terminal := neck.SessionIO{
		Out: said.outlet("stdout"), Err: said.outlet("stderr"), Signals: s.claude.signals, Had: &had,
		Position: func(at neck.Position) { said.goesOn(at); once() },
	}
	goOn := func() neck.Request {
		return neck.Request{Kind: neck.KindAttach, Attach: &neck.AttachRequest{Name: keptSession, From: had, Lossless: true}}
	}
	request := neck.Request{Kind: neck.KindSession, Session: &wish.request}
	if s.config.Again != nil {
		request = goOn()
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, relinkWait)
		stream, err := s.host.Open(waiting, request)
		cancel()
		if err != nil {
			return failed(err)
		}
		status, err := neck.Attach(ctx, stream, terminal)
		if err == nil || !errors.Is(err, neck.ErrLinkLost) || ctx.Err() != nil {
			if err != nil {
				return failed(err)
			}
			return status, nil
		}
		request = goOn()
	}
}

func (c *claude) starts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcome.Started.IsZero() {
		c.outcome.Started = time.Now().UTC()
	}
}

// ended notes how the session has ended.
func (c *claude) ended(status neck.ExitStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcome.Finished, c.outcome.ExitCode = time.Now().UTC(), status.Code
	switch {
	case err != nil:
		c.outcome.ExitCode, c.outcome.Reason, c.outcome.Message = lostCode, backend.ReasonLost, err.Error()
	case c.stopped:
		c.outcome.Reason = backend.ReasonStopped
	case status.Code == 0:
		c.outcome.Reason = backend.ReasonCompleted
	default:
		c.outcome.Reason = backend.ReasonError
	}
}

// lostCode stands for the exit code of a session that was lost: that of one killed.
const lostCode = 137

// detach has the bottle live on without its launcher.
func (s *supervisor) detach(ctx context.Context, stream neck.Stream) error {
	s.claude.mu.Lock()
	s.claude.detached = true
	s.claude.mu.Unlock()
	s.noteAgain(ctx)
	err := errors.Join(stream.Accept(), stream.Close())
	s.endIfOver()
	return err
}

// endIfOver ends a detached bottle whose claude has ended.
func (s *supervisor) endIfOver() {
	s.claude.mu.Lock()
	over := s.claude.detached && !s.claude.outcome.Finished.IsZero()
	s.claude.mu.Unlock()
	if over {
		s.end()
	}
}

// settle notes how it went with the claude of a detached bottle that is about to go.
// What is noted is why the bottle's state stays.
func (s *supervisor) settle(ctx context.Context) {
	s.claude.mu.Lock()
	defer s.claude.mu.Unlock()
	if !s.claude.detached {
		return
	}
	outcome := &s.claude.outcome
	if outcome.Finished.IsZero() {
		outcome.Finished, outcome.ExitCode, outcome.Reason = time.Now().UTC(), lostCode, backend.ReasonLost
		if s.claude.stopped {
			outcome.Reason = backend.ReasonStopped
		}
	}
	if err := writeNote(filepath.Join(s.config.State, backend.StateOutcome), *outcome); err != nil {
		log.G(ctx).WithError(err).Error("note how claude ended")
	}
}

// halt ends claude as a user's word, and the bottle with it.
func (s *supervisor) halt(ctx context.Context, stream neck.Stream) error {
	err := stream.Accept()
	s.claude.mu.Lock()
	runs := s.claude.begun && s.claude.outcome.Finished.IsZero()
	s.claude.stopped = true
	s.claude.mu.Unlock()
	if runs {
		select {
		case s.claude.signals <- "SIGTERM":
		default: // one is on its way
		}
		timer := time.NewTimer(haltGrace)
		defer timer.Stop()
		select {
		case <-s.wanted:
		case <-timer.C:
		case <-ctx.Done():
			return err
		}
	}
	s.end()
	select {
	case <-s.gone:
	case <-ctx.Done():
	}
	return err
}
