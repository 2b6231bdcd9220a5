package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// held says whether a process stands behind the record. Who takes a dead bottle
// down holds the lock and does not.
func (b *Backend) held(record runtime.Record) (bool, error) {
	if err := b.layout.checkRoots(record); err != nil {
		return false, err
	}
	id, err := idOf(record)
	if err != nil {
		return false, err
	}
	where := b.layout.bottle(id)
	if taken, err := exists(where.taken()); err != nil || taken {
		return false, err
	}
	return held(where.lock())
}

// dyingTime is how long a process that was killed may still hold its lock, on a
// machine that has other things to do: its last thread lets go of it.
const dyingTime = 500 * time.Millisecond

// lives is held for who wants the name: a holder that was killed a moment ago is
// none, but a bottle that can be held again lives.
func (b *Backend) lives(ctx context.Context, record runtime.Record) (bool, error) {
	alive, err := b.waitHolder(ctx, record)
	if err != nil || alive {
		return alive, err
	}
	id, err := idOf(record)
	if err != nil {
		return false, err
	}
	return b.revivable(ctx, record, b.layout.bottle(id))
}

// waitHolder says whether a process holds the bottle that is not just dying. One that
// is going by itself is not waited for here.
func (b *Backend) waitHolder(ctx context.Context, record runtime.Record) (bool, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		alive, err := b.held(record)
		if err != nil || !alive || record.Labels[backend.LabelWish] == backend.WishGone || time.Since(begun) > dyingTime {
			return alive, err
		}
		select {
		case <-ctx.Done():
			return alive, nil
		case <-tick.C:
		}
	}
}

// observe looks at everything that there may be of one bottle. discard says
// that its work may go too.
func (b *Backend) observe(ctx context.Context, where places, discard bool) (seen, error) {
	var s seen
	record, err := b.client.Record(ctx, where.id.Name)
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return s, err
	default:
		// The name may have passed on to a later life.
		s.record = belongs(record, where.id)
		s.marked = record.Labels[backend.LabelWish] == backend.WishGone
		if s.record {
			if err := errors.Join(checkRecord(record), b.layout.checkRoots(record)); err != nil {
				return s, err
			}
		}
	}
	if s.record || errdefs.IsNotFound(err) {
		if s.task, err = b.taskPhase(ctx, where.id.Name); err != nil {
			return s, err
		}
	}
	snapshots, err := b.client.Snapshots(ctx)
	if err != nil {
		return s, err
	}
	for _, snapshot := range snapshots {
		s.snapshot = s.snapshot || snapshot.Key == where.id.String()
	}
	leftovers, err := b.leftovers(ctx, where.id)
	if err != nil {
		return s, err
	}
	s.leftovers = len(leftovers) > 0
	if s.run, err = exists(where.run); err != nil {
		return s, err
	}
	if s.state, err = exists(where.state); err != nil || !s.state {
		return s, err
	}
	if err := checkState(where); err != nil || discard {
		return s, err
	}
	keep, err := keeps(ctx, where)
	if err != nil {
		return s, err
	}
	s.state, s.unsynced = !keep, true
	return s, nil
}

// leftovers looks for them by name only while nobody else has the name: as long
// as the record is this bottle's no other can take it, and without a record no
// living bottle may have claimed it.
func (b *Backend) leftovers(ctx context.Context, id backend.ID) ([]runtime.Leftover, error) {
	name := id.Name
	record, err := b.client.Record(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		claimed, err := b.layout.claimed(id)
		if err != nil {
			return nil, err
		}
		if claimed {
			name = ""
		}
	case err != nil:
		return nil, err
	case !belongs(record, id):
		name = ""
	}
	return b.client.Leftovers(ctx, name, id.String())
}

func (b *Backend) taskPhase(ctx context.Context, name string) (taskPhase, error) {
	task, err := b.client.Task(ctx, name)
	if err != nil {
		return taskAbsent, err
	}
	return phaseOf(task), nil
}

func phaseOf(task runtime.TaskState) taskPhase {
	switch {
	case !task.Exists:
		return taskAbsent
	case task.Status == "created":
		return taskCreated
	case task.Status == "stopped":
		return taskStopped
	default:
		return taskRunning
	}
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for bottle directory: %w", err)
	}
	return true, nil
}
