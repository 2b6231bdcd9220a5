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

// unrecorded says that a bottle runs whose record somebody else has removed: a start makes
// the record before the task, and a teardown removes the task before the record.
func (b *Backend) unrecorded(ctx context.Context, where places) (bool, error) {
	_, err := b.client.Record(ctx, where.id.Name)
	if !errdefs.IsNotFound(err) {
		return false, err
	}
	phase, err := b.taskPhase(ctx, where.id.Name)
	if err != nil || phase == taskAbsent {
		return false, err
	}
	client, err := supervise.Connect(ctx, where.run)
	if err != nil {
		return false, nil //nolint:nilerr // nobody has got so far with it
	}
	client.Close()
	return true, nil
}

// endUnrecorded has the supervisor of such a bottle take it down, and says whether there
// was one.
func (b *Backend) endUnrecorded(ctx context.Context, where places) (bool, error) {
	if is, err := b.unrecorded(ctx, where); err != nil || !is {
		return false, err
	}
	client, err := supervise.Connect(ctx, where.run)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, teardownTimeout)
	defer cancel()
	log.G(ctx).WithField("bottle", where.id).Info("take down a bottle without a record")
	return true, client.Halt(ctx)
}

// checkNoTask refuses a name that is free but for a task: the record was removed under
// it.
func (b *Backend) checkNoTask(ctx context.Context, name string) error {
	phase, err := b.taskPhase(ctx, name)
	if err != nil || phase == taskAbsent {
		return err
	}
	return fmt.Errorf("bottle %s runs, but %s, or choose another name with --name: %w", backend.Printable(name), unrecordedWords, errdefs.ErrAlreadyExists)
}
