package containerd

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// unrecordedWords say of a bottle that it runs, and that containerd knows it no more.
const unrecordedWords = "its record was removed from containerd: `claude-bottle cleanup` takes it down to its work"

// unrecorded connects to the supervisor of a bottle that runs and whose record somebody
// else has removed; nil is no such bottle. A start makes the record before there are
// processes, a teardown ends those before it removes the record.
func (b *Backend) unrecorded(ctx context.Context, where places) (*supervise.Client, error) {
	_, err := b.client.Record(ctx, where.id.Name)
	if !errdefs.IsNotFound(err) {
		return nil, err
	}
	// The daemon tells nothing of a task without a record.
	processes, err := b.client.Processes(where.id.Name)
	if err != nil || len(processes) == 0 {
		return nil, err
	}
	client, err := supervise.Connect(ctx, where.run)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // nobody has got so far with it
	}
	return client, nil
}

// isUnrecorded says whether it is such a bottle.
func (b *Backend) isUnrecorded(ctx context.Context, where places) (bool, error) {
	client, err := b.unrecorded(ctx, where)
	if client != nil {
		client.Close()
	}
	return client != nil, err
}

// endUnrecorded has the supervisor of such a bottle take it down. Another bottle is left
// as it is.
func (b *Backend) endUnrecorded(ctx context.Context, where places) error {
	client, err := b.unrecorded(ctx, where)
	if client == nil || err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, teardownTimeout)
	defer cancel()
	log.G(ctx).WithField("bottle", where.id).Info("take down a bottle without a record")
	return client.Halt(ctx)
}

// checkNotUnrecorded refuses a name that only seems to be free.
func (b *Backend) checkNotUnrecorded(ctx context.Context, name string) error {
	ids, err := b.layout.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		where := b.layout.bottle(id)
		if alive, err := held(where.lock()); id.Name != name || err != nil || !alive {
			continue
		}
		is, err := b.isUnrecorded(ctx, where)
		if is {
			return fmt.Errorf("bottle %s runs, but %s, or choose another name with --name: %w", backend.Printable(name), unrecordedWords, errdefs.ErrAlreadyExists)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
