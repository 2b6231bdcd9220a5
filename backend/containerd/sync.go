package containerd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/log"
)

// syncKept puts what the bottle has left on the disk, before anything by which it is
// found is deleted, and dates the state directory at the end of the session.
func syncKept(ctx context.Context, where places) error {
	if keep, err := keeps(ctx, where); err != nil || !keep {
		return err // it goes as a whole
	}
	if err := os.WriteFile(where.kept(), nil, 0o600); err != nil {
		log.G(ctx).WithError(err).Warn("mark bottle as kept") // a full disk must not hold the end up
	}
	now := time.Now()
	if err := os.Chtimes(where.state, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.G(ctx).WithError(err).Warn("date state directory")
	}
	return syncState(ctx, where)
}

// syncState puts the file system with the state directory on the disk. A disk that
// fails or is too slow is logged: no later try would do better, and nothing that
// follows deletes work.
func syncState(ctx context.Context, where places) error {
	err := ledger.Sync(ctx, where.work())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		log.G(ctx).WithError(err).Error("sync work")
	}
	return nil
}

// noteWhatWentIn notes what the bottle holds before claude comes: what differs
// later is work.
func (l *launch) noteWhatWentIn(ctx context.Context) error {
	if err := work.WriteTips(ctx, l.work()); err != nil {
		return err
	}
	return writeBaseline(ctx, l.places)
}
