package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// diskFull says that the daemon, or this process, has found no room. The daemon has no
// kind for it.
func diskFull(err error) bool {
	return err != nil && (strings.Contains(err.Error(), unix.ENOSPC.Error()) || strings.Contains(err.Error(), unix.EDQUOT.Error()))
}

// noRoomError says that the disk of the store is full, and was said of it.
type noRoomError struct{ error }

func (e noRoomError) Unwrap() error { return e.error }

// NoRoom adds to the error of a store whose disk is full which disk that is and what
// makes room there. Any other error stays as it is. It is called once what had been
// begun was taken back: what is free then was not enough.
func (c *Client) NoRoom(ctx context.Context, err error) error {
	var known noRoomError
	if !diskFull(err) || errors.As(err, &known) {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if sweepErr := c.sweep(ctx); sweepErr != nil { // the next removal of a layer does it
		log.G(ctx).WithError(sweepErr).Debug("sweep the store")
	}
	directory, disk, _ := c.storeDisk(ctx) // what can't be seen isn't told
	return noRoom(err, directory, disk)
}

// IfFull adds it to the error of a program in a bottle, which says itself why it failed,
// as long as the disk of the store is full. It comes before anything is taken back.
func (c *Client) IfFull(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	directory, disk, seen := c.storeDisk(context.WithoutCancel(ctx))
	if !seen || disk.free >= fullBelow {
		return err
	}
	return noRoom(err, directory, disk)
}

// fullBelow is what a disk has left when nothing fits on it, in bytes: the last blocks
// are too few for most that is written.
const fullBelow = 1 << 20

// room is how much of a disk is free.
type room struct{ free, total int64 }

func noRoom(err error, directory string, disk room) error {
	where := "the disk of containerd's store"
	if directory != "" {
		where += fmt.Sprintf(", %s (%s free of %s),", directory, backend.Bytes(disk.free), backend.Bytes(disk.total))
	}
	return noRoomError{fmt.Errorf("%w: %w: %s is too full for it: make room there; `claude-bottle image prune` removes images that nothing uses, and what pulls have left",
		err, errdefs.ErrResourceExhausted, where)}
}

// storeDisk finds the directory of the store, and how much of its disk is free.
func (c *Client) storeDisk(ctx context.Context) (directory string, _ room, seen bool) {
	plugins, err := c.Plugins(ctx)
	if err != nil {
		return "", room{}, false
	}
	for _, plugin := range plugins {
		if wanted := Snapshotter(); plugin.Type != wanted.Type || plugin.ID != wanted.ID || plugin.Root == "" {
			continue
		}
		directory := filepath.Dir(plugin.Root)
		var disk unix.Statfs_t
		if unix.Statfs(directory, &disk) != nil {
			return "", room{}, false // it is in another container
		}
		size := uint64(disk.Bsize)                                                         //nolint:gosec // the kernel's own
		return directory, room{int64(disk.Bavail * size), int64(disk.Blocks * size)}, true //nolint:gosec // no disk has so much
	}
	return "", room{}, false
}

// sweep has the layers collected whose removal found no room for its own books. The
// daemon looks at layers again when one is removed, so an empty one is made for that.
func (c *Client) sweep(ctx context.Context) error {
	ctx, cancel := c.boundedBy(ctx, releaseBound)
	defer cancel()
	return c.collect(ctx, func(ctx context.Context, lease string) error {
		_, err := c.client.SnapshotService(snapshotter).Prepare(ctx, "claude-bottle-sweep-"+lease, "")
		return err
	})
}
