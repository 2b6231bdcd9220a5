package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Find finds a bottle by its name or its handle, running or kept. One that is dead
// is taken down to what is kept of it, and one that is going is waited for. The
// supervisor of a detached one is started again when it has died.
func (b *Backend) Find(ctx context.Context, name string) (*backend.Work, error) {
	base, suffix := split(name)
	exact := suffix != ""
	if err := backend.ValidateName("bottle", base); err != nil {
		return nil, err
	}
	record, err := b.client.Record(ctx, base)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		id, err := idOf(record)
		if err != nil && !exact {
			return nil, err
		}
		if err == nil && (!exact || id.Suffix == suffix) {
			if b.answers(ctx, record, id) {
				return workOf(b.layout.bottle(id), true)
			}
			if err := b.reviveSoon(ctx, record, id); err != nil {
				return nil, err
			}
			switch err := b.makeWay(ctx, base); {
			case errdefs.IsAlreadyExists(err):
				return workOf(b.layout.bottle(id), true)
			case err != nil:
				return nil, err
			}
			suffix = id.Suffix
		}
	}
	return b.findKept(base, suffix)
}

// answers says that a bottle runs and that its supervisor can be spoken to: then
// nobody has to wait and see whether it is a dying one.
func (b *Backend) answers(ctx context.Context, record runtime.Record, id backend.ID) bool {
	if alive, err := b.held(record); err != nil || !alive || record.Labels[backend.LabelWish] == backend.WishGone {
		return false
	}
	client, err := supervise.Connect(ctx, b.layout.bottle(id).run)
	if err != nil {
		return false
	}
	client.Close()
	return true
}

// split takes a handle apart; a plain name has no suffix.
func split(name string) (base, suffix string) {
	base, suffix, _ = strings.Cut(name, "@")
	return base, suffix
}

func (b *Backend) findKept(name, suffix string) (*backend.Work, error) {
	ids, err := b.layout.ids()
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id backend.ID) bool {
		there, err := exists(b.layout.bottle(id).state)
		return id.Name != name || suffix != "" && id.Suffix != suffix || err != nil || !there
	})
	if suffix != "" {
		name += "@" + suffix
	}
	switch len(ids) {
	case 0:
		return nil, fmt.Errorf("no bottle %s, neither running nor kept: `claude-bottle list` shows them: %w", backend.Printable(name), errdefs.ErrNotFound)
	case 1:
		return workOf(b.layout.bottle(ids[0]), false)
	}
	handles := make([]string, len(ids))
	for i, id := range ids {
		handles[i] = id.Handle()
	}
	slices.Sort(handles)
	return nil, fmt.Errorf("%d kept bottles were called %s: say which one: %s: %w", len(ids), name, strings.Join(handles, ", "), errdefs.ErrConflict)
}

func workOf(where places, running bool) (*backend.Work, error) {
	info, err := os.Stat(where.state)
	if err != nil {
		return nil, fmt.Errorf("look for work: %w", err)
	}
	if err := checkState(where); err != nil {
		return nil, err
	}
	work := &backend.Work{ID: where.id, Running: running, State: where.state, Created: info.ModTime()}
	if plan, err := readPlan(where); err == nil {
		work.Plan = plan
	}
	// The work is there also where what was declared of it is spoilt.
	if declaration, err := readDeclaration(where); err == nil {
		work.Declaration = declaration
	}
	return work, nil
}

// readPlan reads what writePlan wrote, but for the backend's own part, which is
// made anew at each launch.
func readPlan(where places) (*backend.Plan, error) {
	file, err := os.Open(where.plan())
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	defer func() { _ = file.Close() }()
	var read struct {
		backend.Plan
		Detail json.RawMessage `json:"detail"`
	}
	if err := json.NewDecoder(io.LimitReader(file, maxPlan)).Decode(&read); err != nil {
		return nil, fmt.Errorf("read plan %s: %w", where.plan(), err)
	}
	return &read.Plan, nil
}

// readOutcome reads how it went with the claude of a detached bottle; nil says that it
// has not ended.
func readOutcome(where places) (*backend.Outcome, error) {
	return readNote[backend.Outcome](where.outcome())
}

// Take keeps everybody else off a kept bottle, as the one who works on it.
func (b *Backend) Take(ctx context.Context, work *backend.Work) (release func(), err error) {
	_, release, err = b.take(ctx, work)
	return release, err
}

// take is Take with the lock, for others to hold it too.
func (b *Backend) take(ctx context.Context, work *backend.Work) (_ *lock, release func(), err error) {
	where := b.layout.bottle(work.ID)
	taken, err := b.lockSoon(ctx, where)
	if errdefs.IsUnavailable(err) {
		return nil, nil, fmt.Errorf("%s is in use by another command: wait for it to end: %w", work.Handle(), err)
	}
	if err != nil {
		return nil, nil, err
	}
	if there, err := exists(where.state); err != nil || !there {
		err = errors.Join(err, removeRun(where))
		taken.release()
		return nil, nil, errors.Join(fmt.Errorf("%s is gone meanwhile: %w", work.Handle(), errdefs.ErrNotFound), err)
	}
	return taken, func() {
		if err := removeRun(where); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.options.Notice(fmt.Sprintf("the run directory of %s stays: %v", work.Handle(), err))
		}
		taken.release()
	}, nil
}

// lockSoon takes the lock of a kept bottle. One whose session has just ended, or whose
// command was killed, is let go of in a moment.
func (b *Backend) lockSoon(ctx context.Context, where places) (*lock, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		taken, err := b.layout.takeLock(where)
		if !errdefs.IsUnavailable(err) || time.Since(begun) > dyingTime {
			return taken, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Remove removes what is kept of a bottle.
func (b *Backend) Remove(ctx context.Context, work *backend.Work) error {
	return removeState(ctx, b.layout.bottle(work.ID), true)
}
