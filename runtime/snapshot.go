package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// IDMap maps the ids 0 to Size of a user namespace to HostID and up.
type IDMap struct{ HostID, Size uint32 }

// Snapshot is the root file system of a bottle.
type Snapshot struct{ Key string }

// PrepareSnapshot makes a writable snapshot of the image. With a map its files
// belong to the mapped ids, without a copy where the daemon can do that.
func (c *Client) PrepareSnapshot(ctx context.Context, key string, image Image, users *IDMap) error {
	// The daemon goes on when the asker hangs up: whoever undoes this must
	// know how it ended.
	prepare := func() error { return c.prepareSnapshot(context.WithoutCancel(ctx), key, image, users) }
	err := c.unblocked(ctx, prepare)
	if !errdefs.IsNotFound(err) {
		return err
	}
	image.Unpacked = false // somebody has taken it for one to spare
	if _, err := c.EnsureImage(ctx, image, backend.NoProgress{}); err != nil {
		return err
	}
	return prepare()
}

func (c *Client) prepareSnapshot(ctx context.Context, key string, image Image, users *IDMap) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	labels := map[string]string{backend.LabelID: key}
	if users != nil {
		mapping := fmt.Sprintf("0:%d:%d", users.HostID, users.Size)
		labels[snapshots.LabelSnapshotUIDMapping] = mapping
		labels[snapshots.LabelSnapshotGIDMapping] = mapping
	}
	_, err := c.client.SnapshotService(snapshotter).Prepare(ctx, key, image.chain, snapshots.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return c.failed(ctx, "prepare snapshot "+key, err)
	}
	return nil
}

// Layer is the directory of the host that takes what is written to a snapshot.
func (c *Client) Layer(ctx context.Context, key string) (string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	mounts, err := c.client.SnapshotService(snapshotter).Mounts(ctx, key)
	if err != nil {
		return "", c.failed(ctx, "look at snapshot "+key, err)
	}
	for _, mount := range mounts {
		for _, option := range mount.Options {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("snapshot %s is no overlay: %w", key, errdefs.ErrNotImplemented)
}

// RemoveSnapshot removes it. One that is gone is fine.
func (c *Client) RemoveSnapshot(ctx context.Context, key string) error {
	ctx, cancel := c.boundedBy(ctx, 6*c.options.Timeout) // it deletes files
	defer cancel()
	if err := c.client.SnapshotService(snapshotter).Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return c.failed(ctx, "remove snapshot "+key, err)
	}
	return nil
}

// Snapshots lists ours.
func (c *Client) Snapshots(ctx context.Context) ([]Snapshot, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var list []Snapshot
	err := c.client.SnapshotService(snapshotter).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Labels[backend.LabelID] == info.Name {
			list = append(list, Snapshot{Key: info.Name})
		}
		return nil
	}, `labels."`+backend.LabelID+`"`)
	if err != nil {
		return nil, c.failed(ctx, "list snapshots", err)
	}
	return list, nil
}
