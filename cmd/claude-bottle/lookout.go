package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// lookAgain is how often bottles are looked at while nothing tells of them.
const lookAgain = time.Second

// lookout looks at the bottles for all who wait for something of them, or show them: when the backend
// tells that something may have happened, and from time to time.
type lookout struct {
	keeper openedKeeper

	mu     sync.Mutex
	seen   []backend.Status
	err    error         // of the last look, when looking is over
	looked chan struct{} // closed at the next look
}

// newLookout takes a first look, and goes on until ctx ends or stop is called. The
// backend is the caller's, and stays open for as long.
func newLookout(ctx context.Context, keeper openedKeeper) (_ *lookout, stop func(), err error) {
	l := &lookout{keeper: keeper, looked: make(chan struct{})}
	if l.seen, err = keeper.ListActive(ctx); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); l.watch(ctx) }()
	return l, func() { cancel(); <-ended }, nil
}

// watch looks until ctx ends, or nothing can be seen any more.
func (l *lookout) watch(ctx context.Context) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var told <-chan string
	watcher, watches := l.keeper.(backend.Watcher)
	for {
		if told == nil && watches {
			var err error
			if told, err = watcher.Watch(ctx); err != nil {
				log.G(ctx).WithError(err).Debug("watch bottles") // there is the clock
				told = nil
			}
		}
		select {
		case _, open := <-told:
			if open {
				open = drain(ctx, told)
			}
			if !open {
				told = nil
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !l.look(ctx) {
			return
		}
	}
}

// drain hears out what comes at once, so that one look does for all of it, and says
// whether more may come.
func drain(ctx context.Context, told <-chan string) (open bool) {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	for {
		select {
		case _, open := <-told:
			if !open {
				return false
			}
		case <-timer.C:
			return true
		case <-ctx.Done():
			return true
		}
	}
}

// look says whether there is a point in looking again. A daemon that is starting again
// is waited for.
func (l *lookout) look(ctx context.Context) bool {
	seen, err := l.keeper.ListActive(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case errdefs.IsUnavailable(err) || errdefs.IsDeadlineExceeded(err):
		log.G(ctx).WithError(err).Debug("look at bottles")
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.err = seen, err
	close(l.looked)
	l.looked = make(chan struct{})
	return err == nil
}

// last is what was seen last, or why nothing can be seen any more; looked is closed at the
// next look.
func (l *lookout) last() (seen []backend.Status, looked <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.looked, l.err
}

// until returns when met says so of that life of a bottle, or ctx has ended. What met
// gets is nil once nothing is left of it.
func (l *lookout) until(ctx context.Context, id backend.ID, met func(*backend.Status) bool) error {
	for {
		seen, looked, err := l.last()
		if err != nil {
			return err
		}
		status, known, err := l.statusOf(ctx, seen, id)
		if err != nil {
			return err
		}
		if known && met(status) {
			return nil
		}
		select {
		case <-looked:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// statusOf finds a bottle among those that were seen. One that is not there is gone, or
// it is just on its way from running to kept: then it is not known. One that needs a
// hand, as after the death of its supervisor, gets it, as from any command for it.
func (l *lookout) statusOf(ctx context.Context, seen []backend.Status, id backend.ID) (_ *backend.Status, known bool, err error) {
	at := slices.IndexFunc(seen, func(status backend.Status) bool { return status.ID == id.String() })
	if at >= 0 {
		status := seen[at]
		if status.Phase == backend.PhaseDead || status.Phase == backend.PhaseRunning && status.Message != "" {
			if _, err := l.keeper.Find(ctx, id.Handle()); err != nil {
				log.G(ctx).WithError(err).Debug("take care of bottle")
			}
		}
		return &status, true, nil
	}
	switch _, err := l.keeper.Find(ctx, id.Handle()); {
	case errdefs.IsNotFound(err):
		return nil, true, nil
	case err != nil && ctx.Err() == nil && !errdefs.IsUnavailable(err):
		return nil, false, fmt.Errorf("look for %s: %w", id.Handle(), err)
	}
	return nil, false, nil
}

// finished says that claude has ended for good, and the bottle with it.
func finished(status *backend.Status) bool {
	return status == nil || status.Phase == backend.PhaseKept
}

// ready says that the bottle runs, and that its supervisor can be spoken to.
func ready(status *backend.Status) bool {
	return status != nil && status.Phase == backend.PhaseRunning && status.Message == ""
}

// gone says that nothing is left of it.
func gone(status *backend.Status) bool { return status == nil }
