package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pause is between two looks at what makes no event.
const pause = 20 * time.Millisecond

// errHeld says that somebody else has the lock.
var errHeld = errors.New("the lock is held")

// tryLock takes a flock, LOCK_EX or LOCK_SH, or says that it is held. Closing the
// file lets go of it, and so does the end of the process.
func tryLock(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of the engine: %w", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errHeld
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// takeLock waits for its turn.
func takeLock(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		file, err := tryLock(path, how)
		if !errors.Is(err, errHeld) {
			return file, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("wait for lock %s: %w", path, err)
		}
	}
}

// lockHeld asks for a lock in a way that its holders, all of the other kind, exclude. Who
// wants it at that very moment tries again.
func lockHeld(path string, how int) (bool, error) {
	file, err := tryLock(path, how)
	if errors.Is(err, errHeld) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, file.Close()
}

// sleep is broken off by ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Use says that the engine is in use until release is called, or until this process has
// ended. It waits for an engine that is just ending to have ended.
func (e *Engine) Use(ctx context.Context) (release func(), err error) {
	if err := e.prepare(); err != nil {
		return nil, err
	}
	file, err := takeLock(ctx, e.useLock(), unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	// The keeper may not look before this process has ended: it sees by the time.
	if err := unix.Futimes(int(file.Fd()), nil); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("note use of the engine: %w", err)
	}
	return func() { _ = file.Close() }, nil
}
