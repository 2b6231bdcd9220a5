package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// syncTimeout bounds the wait for a disk.
const syncTimeout = time.Minute

// Sync puts the file system with the bottle's state on the disk. From then on a write
// through a mapping of a file is dated, too: the kernel dates the first one to a page
// after each write-back. A state directory that is gone is no error; a disk that does
// not answer in time is an Unavailable one.
func Sync(ctx context.Context, work *backend.Work) error {
	dir, err := os.Open(work.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	synced := make(chan error, 1)
	go func() { // no signal reaches a thread that waits for the disk
		synced <- errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
	}()
	timer := time.NewTimer(syncTimeout)
	defer timer.Stop()
	select {
	case err := <-synced:
		if err != nil {
			return fmt.Errorf("sync %s: %w", work.State, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("sync %s: the disk does not answer in time: %w", work.State, errdefs.ErrUnavailable)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
