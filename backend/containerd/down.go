package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Down takes the bottle with this id down to its kept work, or to nothing with
// discard. The caller holds its lock. It may be called again after any crash.
func (b *Backend) Down(ctx context.Context, id backend.ID, discard bool) error {
	where := b.layout.bottle(id)
	halfMade, err := exists(where.setup())
	if err != nil {
		return fmt.Errorf("take down %s: %w", id, err)
	}
	discard = discard || halfMade
	s, err := b.observe(ctx, where, discard)
	if err != nil {
		return fmt.Errorf("take down %s: %w", id, err)
	}
	if err := reconcile(ctx, wishGone, s, b.downward(where, discard), b.options.Progress); err != nil {
		return fmt.Errorf("take down %s: %w", id, err)
	}
	return nil
}

// takeDead takes the lock of a dead bottle and takes the bottle down. One that
// is held is an Unavailable error.
func (b *Backend) takeDead(ctx context.Context, id backend.ID) error {
	where := b.layout.bottle(id)
	taken, err := b.layout.takeLock(where)
	if err != nil {
		return err
	}
	defer taken.release()
	if err := b.noteLost(ctx, where); err != nil {
		return err
	}
	return b.Down(ctx, id, false)
}

// takeLock takes the lock of a bottle whose directory may be gone, as after a
// reboot, without getting in the way of a claim that is being made.
func (l layout) takeLock(where places) (*lock, error) {
	guard, err := acquire(l.claimLock(), true)
	if err != nil {
		return nil, err
	}
	defer guard.release()
	for {
		taken, err := takeFree(where)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its last holder has just removed the directory
		}
		return taken, err
	}
}

// takeFree takes a lock that nobody holds. Under the lock of claims nobody can
// begin to hold it: a bottle that is dead now stays dead, and is marked as taken
// before its lock is, so that nobody takes the taker for a living bottle.
func takeFree(where places) (*lock, error) {
	if err := makeDirectory(where.run, wayThrough); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	alive, err := held(where.lock())
	if err != nil {
		return nil, err
	}
	if alive {
		return nil, fmt.Errorf("bottle %s is held: %w", where.id, errdefs.ErrUnavailable)
	}
	if err := os.WriteFile(where.taken(), nil, 0o600); err != nil {
		return nil, fmt.Errorf("mark bottle as taken: %w", err)
	}
	return acquire(where.lock(), true) // askers have it for a moment
}

// downward does the steps down of one bottle.
func (b *Backend) downward(where places, discard bool) doer {
	name := where.id.Name
	return func(ctx context.Context, what step) error {
		switch what {
		case stepMark:
			err := b.client.SetLabel(ctx, name, backend.LabelWish, backend.WishGone)
			if errdefs.IsNotFound(err) {
				return nil
			}
			return err
		case stepKill:
			return b.client.RemoveTask(ctx, name)
		case stepSweep:
			return b.sweep(ctx, where)
		case stepSync:
			return syncKept(ctx, where)
		case stepUnsnapshot:
			return b.client.RemoveSnapshot(ctx, where.id.String())
		case stepForget:
			return b.client.DeleteRecord(ctx, name)
		case stepState:
			return removeState(ctx, where, discard)
		case stepRun:
			return removeRun(where)
		default:
			return fmt.Errorf("step %q does not lead down: %w", what, errdefs.ErrInvalidArgument)
		}
	}
}

// sweep removes leftovers. Meanwhile nobody can claim a name: a shim of a bottle
// that has just begun would look like one of the dead.
func (b *Backend) sweep(ctx context.Context, where places) error {
	guard, err := acquire(b.layout.claimLock(), true)
	if err != nil {
		return fmt.Errorf("keep claims off: %w", err)
	}
	defer guard.release()
	leftovers, err := b.leftovers(ctx, where.id)
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		err = errors.Join(err, b.client.RemoveLeftover(ctx, leftover))
	}
	return err
}

// removeRun removes the run directory, its lock last: up to then nobody else
// takes the bottle for one that nobody works on.
func removeRun(where places) error {
	if err := emptyRun(where); err != nil {
		return err
	}
	return removeTree(where.run)
}

// emptyRun leaves nothing in the run directory but its lock.
func emptyRun(where places) error {
	if err := unbindNetworkNamespace(where.netns()); err != nil {
		return err
	}
	entries, err := os.ReadDir(where.run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list run directory: %w", err)
	}
	root, err := os.OpenRoot(where.run)
	if err != nil {
		return fmt.Errorf("open run directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	for _, entry := range entries {
		if entry.Name() == "lock" {
			continue
		}
		if err := root.RemoveAll(entry.Name()); err != nil {
			return fmt.Errorf("empty run directory: %w", err)
		}
	}
	return nil
}

// removeState removes the state directory, unless work has come since it was
// looked at: up to the end of the task the agent may write.
func removeState(ctx context.Context, where places, discard bool) error {
	if !discard {
		keep, err := keeps(ctx, where)
		if err != nil || keep {
			return err
		}
	}
	// In one move, or a removal that is broken off would look like work.
	workspace := where.place(backend.PlaceWorkspace)
	if err := os.Rename(workspace, workspace+".gone"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give up workspace: %w", err)
	}
	return removeTree(where.state)
}

// removeTree removes a directory that the agent may have filled: below it no
// link is followed.
func removeTree(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
