package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// blocked says that a directory of nobody's lies where the daemon wants to put its next
// snapshot: it was killed when it had made the directory, and had no books of it yet. It
// gives the same number again and again, and looks for what is nobody's only when a
// snapshot is removed. It has no kind for that.
func blocked(err error) bool {
	return err != nil && strings.Contains(err.Error(), "failed to rename") && strings.Contains(err.Error(), unix.EEXIST.Error())
}

// unblocked does what makes snapshots, and once more when it was blocked.
func (c *Client) unblocked(ctx context.Context, do func() error) error {
	err := do()
	if !blocked(err) {
		return err
	}
	log.G(ctx).WithError(err).Warn("containerd was killed while it made a snapshot: what it has left there is removed")
	if clearErr := c.clearSnapshots(ctx); clearErr != nil {
		return fmt.Errorf("%w: containerd was killed while it made a snapshot, and what it has left there is in the way: %w", err, clearErr)
	}
	return do()
}

// clearSnapshots has the daemon look for what is nobody's: the smallest snapshot is removed
// that nothing builds on. It is some image's, and unpacked again when that is wanted.
func (c *Client) clearSnapshots(ctx context.Context) error {
	ctx, cancel := c.boundedBy(ctx, unpackBound) // it deletes files
	defer cancel()
	spare, err := c.spareSnapshot(ctx)
	if err != nil {
		return err
	}
	if err := c.client.SnapshotService(snapshotter).Remove(ctx, spare); err != nil && !errdefs.IsNotFound(err) {
		return c.failed(ctx, "remove snapshot "+spare, err)
	}
	return c.collect(ctx, func(context.Context, string) error { return nil })
}

// spareSnapshot chooses it. That there is none is an Unavailable error with the remedy.
func (c *Client) spareSnapshot(ctx context.Context) (string, error) {
	service := c.client.SnapshotService(snapshotter)
	var committed []string
	built := map[string]bool{} // on, by another one
	err := service.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		built[info.Parent] = true
		// Those of images have digests for names. Others, steps of a build, can't be had again.
		if info.Kind == snapshots.KindCommitted && strings.HasPrefix(info.Name, "sha256:") {
			committed = append(committed, info.Name)
		}
		return nil
	})
	if err != nil {
		return "", c.failed(ctx, "list snapshots", err)
	}
	spare, least := "", int64(0)
	for _, name := range committed {
		if built[name] {
			continue
		}
		usage, err := service.Usage(ctx, name)
		if err != nil {
			return "", c.failed(ctx, "measure snapshot "+name, err)
		}
		if spare == "" || usage.Size < least {
			spare, least = name, usage.Size
		}
	}
	if spare == "" {
		return "", fmt.Errorf("it goes with the next snapshot that is removed, so end a bottle, or remove that directory while containerd is stopped: %w", errdefs.ErrUnavailable)
	}
	return spare, nil
}
