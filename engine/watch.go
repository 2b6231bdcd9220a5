package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// Bounds of the time between two looks at whether the engine is in use.
const (
	shortLook = 50 * time.Millisecond
	longLook  = 10 * time.Second
)

// watch returns when the daemon has ended for good.
func (k *keeper) watch(ctx context.Context) error {
	look := longLook
	if k.idle > 0 {
		look = max(shortLook, min(k.idle/5, longLook))
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			log.G(ctx).Info("end as told")
			return k.end(ctx)
		case <-k.daemon.gone:
			if again, err := k.revive(ctx); err != nil || !again {
				return err
			}
		case <-tick.C:
			if err := k.engine.shortenLog(); err != nil {
				log.G(ctx).WithError(err).Warn("shorten log")
			}
			ended, err := k.endWhenIdle(ctx)
			if err != nil {
				log.G(ctx).WithError(err).Warn("end for being idle")
			}
			if ended {
				return nil
			}
		}
	}
}

// end ends the daemon. Tasks live on.
func (k *keeper) end(ctx context.Context) error {
	if err := k.daemon.end(context.WithoutCancel(ctx), stopLimit); err != nil {
		return err
	}
	return k.engine.removeSockets()
}

// removeSockets removes what a daemon that was killed has left.
func (e *Engine) removeSockets() error {
	for _, path := range []string{e.Address(), e.Address() + ".ttrpc"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove socket of containerd: %w", err)
		}
	}
	return nil
}

// revive starts a daemon that has died again, if somebody uses it and this is still the
// keeper of the place: somebody may have removed the whole directory.
func (k *keeper) revive(ctx context.Context) (again bool, err error) {
	ours, err := k.lock.Stat()
	if err != nil {
		return false, fmt.Errorf("look at lock of the keeper: %w", err)
	}
	theirs, err := os.Stat(k.engine.keeperLock())
	if err != nil || !os.SameFile(ours, theirs) {
		log.G(ctx).Warn("containerd has ended, and the directory of the engine is another one")
		return false, nil
	}
	if time.Since(k.since) > steadyTime {
		k.pause = firstPause
	}
	log.G(ctx).WithField("pid", k.daemon.pid).Warn("containerd has ended")
	for {
		release, err := k.unused()
		if err != nil {
			return false, err
		}
		if release != nil {
			defer release()
			return false, k.engine.removeSockets()
		}
		if sleep(ctx, k.pause) != nil {
			return false, k.engine.removeSockets()
		}
		k.pause = min(2*k.pause, lastPause)
		k.daemon.close()
		k.daemon = nil
		if err = k.start(ctx); err == nil {
			return true, nil
		}
		if k.daemon == nil {
			return false, err // not even started
		}
		log.G(ctx).WithError(err).Warn("start containerd again")
	}
}

// unused returns a release when nobody uses the engine: until it is called, who wants to
// use it waits.
func (k *keeper) unused() (release func(), err error) {
	lock, err := tryLock(k.engine.useLock(), unix.LOCK_EX)
	if errors.Is(err, errHeld) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	running, err := k.engine.Running()
	if err != nil || len(running) > 0 {
		return nil, errors.Join(err, lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}

// endWhenIdle ends the daemon when nobody has used it for so long.
func (k *keeper) endWhenIdle(ctx context.Context) (ended bool, err error) {
	release, err := k.unused()
	if err != nil {
		return false, err
	}
	now := time.Now()
	if release == nil {
		k.used = now
		return false, nil
	}
	defer release()
	// One that came and went between two looks has left its time.
	if info, err := os.Stat(k.engine.useLock()); err == nil && !info.ModTime().Equal(k.noted) {
		k.noted, k.used = info.ModTime(), now
	}
	if k.idle == 0 || now.Sub(k.used) < k.idle {
		return false, nil
	}
	log.G(ctx).WithField("after", k.idle).Info("end, since nobody uses it")
	return true, k.end(ctx)
}
