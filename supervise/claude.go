package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	kindHalt   neck.Kind = "halt"   // end claude, then the bottle; a byte says that it is gone
	// kindOutfitted says that all commands have ended well that run before it.
	kindOutfitted neck.Kind = "outfitted"
)

// haltGrace is what claude has between TERM and the end of its bottle.
const haltGrace = 10 * time.Second

// lostCode stands for the exit code of a session that was lost: that of one killed.
const lostCode = 137

// claude is the session of a bottle where that goes on without a client. This process
// is the one client that loses nothing of it.
type claude struct {
	begins   chan begin    // one at most
	signals  chan string   // for it
	detaches chan struct{} // closed when the bottle is detached

	mu       sync.Mutex
	begun    bool
	running  bool
	detached bool
	// ending is why the bottle is to end, before claude has; "" is by itself. why says
	// more of it.
	ending, why string
	// missing names the secrets that go with a bottle that is lost.
	missing []string
	// request is what it is started with.
	request neck.SessionRequest
	session backend.Session
	// outcome is how it went; nil as long as claude runs, or is to be started again.
	outcome *backend.Outcome
}

// begin is a wish for the session. What is answered says whether it runs.
type begin struct {
	request neck.SessionRequest
	answer  chan error
}

// newClaude is one that has yet to begin, or goes on under another supervisor.
func newClaude(again *Again) *claude {
	c := &claude{begins: make(chan begin, 1), signals: make(chan string, 1), detaches: make(chan struct{})}
	if again != nil {
		c.begun, c.running, c.detached = true, true, true
		c.session, c.ending = again.Session, again.Ending
		if again.Request != nil {
			c.request = *again.Request
		}
		close(c.detaches)
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
	s.claude.mu.Lock()
	s.claude.request = wish.request
	s.claude.mu.Unlock()
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

// detach has the bottle live on without its launcher.
func (s *supervisor) detach(ctx context.Context, stream neck.Stream) error {
	defer s.answers.begin()()
	if err := s.outfitted(); err != nil {
		return stream.Refuse(err)
	}
	s.claude.mu.Lock()
	if !s.claude.detached {
		s.claude.detached = true
		close(s.claude.detaches)
	}
	s.claude.mu.Unlock()
	s.noteAgain(ctx)
	s.noteSession(ctx)
	err := errors.Join(stream.Accept(), stream.Close())
	s.endIfOver()
	return err
}

// outfitted has what the bottle makes kept from now on.
func (s *supervisor) outfitted() error {
	err := os.Remove(filepath.Join(s.config.State, backend.StateSetup))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the setup: %w", err)
	}
	return nil
}

// halfMade says that commands which come before claude have not ended well.
func (s *supervisor) halfMade() bool {
	_, err := os.Lstat(filepath.Join(s.config.State, backend.StateSetup))
	return err == nil
}

// endIfOver ends a detached bottle whose claude has ended.
func (s *supervisor) endIfOver() {
	s.claude.mu.Lock()
	over := s.claude.detached && s.claude.outcome != nil
	s.claude.mu.Unlock()
	if over {
		s.end()
	}
}

// halt ends claude as a user's word, and the bottle with it.
func (s *supervisor) halt(ctx context.Context, stream neck.Stream) error {
	defer s.answers.begin()()
	err := stream.Accept()
	// Who has asked may leave: claude has its time for that, and goes then.
	s.finish(context.WithoutCancel(ctx), backend.ReasonStopped)
	select {
	case <-s.gone:
	case <-ctx.Done():
		return err
	}
	_, writeErr := stream.Write([]byte{0})
	return errors.Join(err, writeErr, stream.Close())
}

// finish ends claude for that reason, and has the bottle go.
func (s *supervisor) finish(ctx context.Context, reason string) {
	s.claude.mu.Lock()
	if s.claude.ending == "" {
		s.claude.ending = reason
	}
	running, detached := s.claude.running, s.claude.detached
	s.claude.mu.Unlock()
	if detached {
		s.noteAgain(ctx) // who takes the place of this one has to know
	}
	if running {
		select {
		case s.claude.signals <- "SIGTERM":
		default: // one is on its way
		}
		timer := time.NewTimer(haltGrace)
		defer timer.Stop()
		select {
		case <-s.wanted:
		case <-s.gone:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	s.end()
}

// settle notes how it went with the claude of a detached bottle that is about to go.
// What is noted is why the bottle's state stays.
func (s *supervisor) settle(ctx context.Context) {
	s.claude.mu.Lock()
	defer s.claude.mu.Unlock()
	c := s.claude
	if !c.detached {
		return
	}
	if c.outcome == nil {
		c.outcome = &backend.Outcome{
			Started: c.session.Started, Finished: time.Now().UTC(),
			ExitCode: lostCode, Reason: cmp.Or(c.ending, backend.ReasonLost), Message: c.why, Restarts: c.session.Restarts,
		}
		if c.outcome.Reason == backend.ReasonLost {
			c.outcome.Missing = c.missing
		}
		if last := c.session.Last; last != nil && !c.running { // it was to be started again
			c.outcome.ExitCode = last.ExitCode
		}
	}
	if err := writeNote(filepath.Join(s.config.State, backend.StateOutcome), *c.outcome); err != nil {
		log.G(ctx).WithError(err).Error("note how claude ended")
	}
	s.event(ctx, finishedEvent(*c.outcome))
	if id, err := backend.ParseID(s.config.ID); err == nil && c.outcome.WaitsForCredentials() {
		s.event(ctx, backend.Event{Type: backend.EventWarning, Reason: backend.CredentialsMissing, Message: c.outcome.MissingWords(id.Handle())})
	}
}
