package supervise

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
)

// relinkWait is how long a neck that was cut is waited for.
const relinkWait = 10 * time.Second

// keepClaude follows the session, when it is begun, to its end, and starts it again as
// long as it was declared so.
func (s *supervisor) keepClaude(ctx context.Context) {
	wish := begin{answer: make(chan error, 1)}
	goesOn := s.config.Again != nil
	if !goesOn {
		select {
		case wish = <-s.claude.begins:
		case <-ctx.Done():
			return
		}
	}
	var delays backOff
	for {
		begun := time.Now()
		status, err := s.followClaude(ctx, wish, goesOn)
		if ctx.Err() != nil {
			return // the bottle is going
		}
		if err != nil {
			log.G(ctx).WithError(err).Warn("follow claude")
		}
		if !s.claude.ended(status, err, s.config.Life) {
			s.endIfOver()
			return
		}
		delay := delays.next(time.Since(begun))
		s.event(ctx, restartEvent(status.Code, delay))
		s.noteSession(ctx)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wish, goesOn = s.claude.anew(), false
		if s.claude.isDetached() {
			s.noteAgain(ctx)
		}
	}
}

// followClaude starts the session, or goes on with it, answers the wish, and writes down
// what is said. A neck that was cut opens again, and it goes on from there; so does one
// whose last supervisor has died.
func (s *supervisor) followClaude(ctx context.Context, wish begin, goesOn bool) (neck.ExitStatus, error) {
	once := sync.OnceFunc(func() {
		s.claude.starts()
		s.noteSession(ctx)
		if !goesOn {
			s.event(ctx, backend.Event{Type: backend.EventNormal, Reason: "Started", Message: "claude runs"})
		}
		wish.answer <- nil
	})
	failed := func(err error) (neck.ExitStatus, error) {
		select {
		case wish.answer <- err:
		default: // it was answered before
		}
		return neck.ExitStatus{}, err
	}
	said, err := openSessionLog(ctx, s.config.State, goesOn)
	if err != nil {
		return failed(err)
	}
	defer said.close()
	if !goesOn {
		said.begins()
	}
	had := said.offset
	terminal := neck.SessionIO{
		Out: s.idle.writer(said.outlet("stdout")), Err: s.idle.writer(said.outlet("stderr")), Signals: s.claude.signals, Had: &had,
		Position: func(at neck.Position) { said.goesOn(at); once() },
	}
	resume := func() neck.Request {
		return neck.Request{Kind: neck.KindAttach, Attach: &neck.AttachRequest{Name: keptSession, From: had, Lossless: true}}
	}
	request := neck.Request{Kind: neck.KindSession, Session: &wish.request}
	if goesOn {
		request = resume()
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
		request = resume()
	}
}

func (c *claude) starts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = true
	if c.session.Started.IsZero() {
		c.session.Started = time.Now().UTC()
	}
}

// ended notes how the session has ended, and says whether it is to be started again.
func (c *claude) ended(status neck.ExitStatus, err error, life *backend.Life) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	outcome := &backend.Outcome{Started: c.session.Started, Finished: time.Now().UTC(), ExitCode: status.Code, Restarts: c.session.Restarts}
	switch {
	case err != nil:
		outcome.ExitCode, outcome.Reason, outcome.Message = lostCode, cmp.Or(c.ending, backend.ReasonLost), err.Error()
	case status.Code == 0:
		outcome.Reason = cmp.Or(c.ending, backend.ReasonCompleted)
	default:
		outcome.Reason = cmp.Or(c.ending, backend.ReasonError)
	}
	if err == nil && c.ending == "" && life != nil && life.Restart.Again(status.Code) {
		c.session.Last = outcome
		return true
	}
	c.outcome = outcome
	return false
}

// anew is the wish for the session that follows one that has ended.
func (c *claude) anew() begin {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session.Restarts++
	return begin{request: c.request, answer: make(chan error, 1)}
}

// noteSession notes how it stands with the claude of a detached bottle.
func (s *supervisor) noteSession(ctx context.Context) {
	s.claude.mu.Lock()
	defer s.claude.mu.Unlock()
	if !s.claude.detached {
		return
	}
	if err := writeNote(filepath.Join(s.config.State, backend.StateSession), s.claude.session); err != nil {
		log.G(ctx).WithError(err).Warn("note how it stands with claude")
	}
}

// Bounds of the time between the end of claude and its next start, as the kubelet's.
const (
	firstBackOff = 10 * time.Second
	lastBackOff  = 5 * time.Minute
	goodRun      = 10 * time.Minute
)

// backOff says how long to wait before claude is started again: not at all the first
// time, then longer and longer, until it has run well.
type backOff struct{ delay time.Duration }

func (b *backOff) next(ran time.Duration) time.Duration {
	if ran >= goodRun {
		b.delay = 0
	}
	delay := b.delay
	b.delay = min(max(2*delay, firstBackOff), lastBackOff)
	return delay
}
