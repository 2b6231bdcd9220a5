package controller

import (
	"context"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/log"
)

// A backend that can't be listened to is tried again after firstPause, which doubles up
// to lastPause.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// feed fills the queue until ctx ends. Listening begins before all are looked at, so
// that nothing falls between the two.
func (c *Controller) feed(ctx context.Context) {
	pause, said := firstPause, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := c.listen(ctx)
		if err == nil {
			said = "" // it has been there
		} else if text := err.Error(); text != said && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("listen to the backend; it is tried again")
			said = text
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, lastPause)
	}
}

// listen wakes names until the backend can't be listened to any more.
func (c *Controller) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names, err := c.options.Backend.Watch(ctx)
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		for range names { //nolint:revive // whoever sends is let go
		}
	}()
	tick := time.NewTicker(c.options.Resync)
	defer tick.Stop()
	if err := c.resync(ctx); err != nil {
		return err
	}
	for {
		select {
		case name, ok := <-names:
			if !ok {
				return nil
			}
			c.queue.Add(name)
		case <-tick.C:
			if err := c.resync(ctx); err != nil {
				return err
			}
		}
	}
}

// resync wakes all names that there are.
func (c *Controller) resync(ctx context.Context) error {
	bottles, err := c.list(ctx)
	if err != nil {
		return err
	}
	for _, bottle := range bottles {
		c.queue.Add(bottle.Name)
	}
	if len(bottles) == 0 {
		c.settle()
	}
	return nil
}

func (c *Controller) list(ctx context.Context) ([]backend.Status, error) {
	bottles, err := c.options.Backend.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	c.metrics.listed(bottles)
	return bottles, nil
}
