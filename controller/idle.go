package controller

import (
	"context"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/log"
)

// idlePause is the least time between two looks at whether all is idle; a look that
// takes long makes it longer, so that looking is a small part of the work.
const (
	idlePause = 200 * time.Millisecond
	idlePart  = 20
)

// Busy says whether any of the bottles needs somebody who watches over it: one that runs
// detached, or one that is to be removed at a time that has not come yet.
func Busy(bottles []backend.Status, now time.Time) bool {
	for _, bottle := range bottles {
		switch bottle.Phase {
		case backend.PhaseDead: // it was looked at, and is left as it is
		case backend.PhaseKept:
			if awaitsRemoval(bottle, now) {
				return true
			}
		default:
			if bottle.Detached && !bottle.Foreign {
				return true
			}
		}
	}
	return false
}

func awaitsRemoval(bottle backend.Status, now time.Time) bool {
	if bottle.Outcome == nil || bottle.Declaration == nil {
		return false
	}
	after := bottle.Declaration.Life.TTLSecondsAfterFinished
	return after != nil && bottle.Outcome.Finished.Add(time.Duration(*after)*time.Second).After(now)
}

// awaitIdle returns when nothing is left to watch over, or ctx has ended. What is worked
// on then comes to its end.
func (c *Controller) awaitIdle(ctx context.Context) {
	for {
		select {
		case <-c.settled:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if c.quiet() {
			bottles, err := c.list(ctx)
			switch {
			case err != nil:
				c.settle() // look again
			case c.quiet() && !Busy(bottles, time.Now()):
				log.G(ctx).Info("nothing is left to watch over")
				c.queue.ShutDownWithDrain()
				return
			}
		}
		timer := time.NewTimer(max(idlePause, idlePart*time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// settle says that something was done.
func (c *Controller) settle() {
	select {
	case c.settled <- struct{}{}:
	default:
	}
}

// quiet says that no name waits, is worked on, or has failed.
func (c *Controller) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.Len() == 0 && len(c.running) == 0 && len(c.failing) == 0
}
