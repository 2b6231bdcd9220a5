package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// What the host is left of the file system that work lies on: so many bytes, or a share of
// a smaller disk, and the same share of its inodes. A file system that is smaller than
// smallDisk was made to bound what lies on it, and is let fill.
const (
	reservedBytes = 1 << 30
	reservedShare = 50 // a fiftieth
	smallDisk     = 4 << 30
	// allBytes is more than any disk has.
	allBytes = 1 << 60
)

// A disk is looked at again before one that writes so many bytes a second could have
// filled it down to the reserve, and, once it is there, in tightPause.
const (
	fastDisk   = 2 << 30
	leastPause = 200 * time.Millisecond
	mostPause  = 5 * time.Second
	tightPause = time.Second
	// measureTime bounds the walk through what a bottle has written.
	measureTime = 20 * time.Second
)

// Layered is a Sandbox that knows where its root file system is written to.
type Layered interface {
	// Layer is the directory of the host that takes what the bottle writes there.
	Layer(ctx context.Context) (string, error)
}

// room is what is free of a file system, or what a tree takes of it.
type room struct{ bytes, inodes int64 }

// disk is a file system as it is now.
type disk struct {
	device         uint64
	total, free    room
	reserve, spare room // spare is what is free beyond the reserve
}

// lookAt looks at the file system of a path.
func lookAt(path string) (disk, error) {
	var system unix.Statfs_t
	var stat unix.Stat_t
	if err := errors.Join(unix.Statfs(path, &system), unix.Stat(path, &stat)); err != nil {
		return disk{}, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	d := disk{
		device: stat.Dev,
		total:  room{int64(system.Blocks) * system.Frsize, int64(system.Files)},
		free:   room{int64(system.Bavail) * system.Frsize, int64(system.Ffree)},
	}
	d.reserve = room{min(reservedBytes, d.total.bytes/reservedShare), d.total.inodes / reservedShare}
	d.spare = room{d.free.bytes - d.reserve.bytes, d.free.inodes - d.reserve.inodes}
	return d, nil
}

// isTight says that the host has less left than it is to have. Inodes that nobody counts
// are no reason.
func (d disk) isTight() bool { return d.spare.bytes < 0 || d.spare.inodes < 0 && d.total.inodes > 0 }

// pause is how long it need not be looked at.
func (d disk) pause() time.Duration {
	if d.isTight() {
		return tightPause
	}
	return min(max(time.Duration(float64(d.spare.bytes)/fastDisk*float64(time.Second)), leastPause), mostPause)
}

// words say what there is, and what there should be.
func (d disk) words(path string) string {
	left := fmt.Sprintf("%s of %s", backend.Bytes(d.free.bytes), backend.Bytes(d.reserve.bytes))
	if d.spare.bytes >= 0 {
		left = fmt.Sprintf("%d of %d inodes", d.free.inodes, d.reserve.inodes)
	}
	return fmt.Sprintf("the disk of %s has %s left that the host is to keep", path, left)
}

// watchDisk ends the bottle when the disk that its work lies on is tight and the bottle has
// taken more of it than is left: who takes most goes first, and who takes little stays.
// What was taken before the disk was looked at first is not held against it.
func (s *supervisor) watchDisk(ctx context.Context, sandbox Sandbox) {
	var before room
	layer, first, told := "", true, false
	for {
		began := time.Now()
		now, err := lookAt(s.config.State)
		switch {
		case err != nil:
			log.G(ctx).WithError(err).Debug("watch the disk")
			now = disk{spare: room{bytes: fastDisk}}
		case now.total.bytes < smallDisk:
			return
		case now.isTight():
			if !told {
				told = true
				log.G(ctx).Warn(now.words(s.config.State))
				if s.claude.isDetached() {
					s.event(ctx, backend.Event{Type: backend.EventWarning, Reason: "DiskPressure", Message: now.words(s.config.State)})
				}
			}
			if layered, ok := sandbox.(Layered); ok && layer == "" {
				if layer, err = layered.Layer(ctx); err != nil {
					log.G(ctx).WithError(err).Debug("find the layer of the bottle")
				}
			}
			taken := s.taken(ctx, now.device, layer)
			if first {
				before = taken
			}
			if taken.bytes-before.bytes > now.free.bytes || now.spare.inodes < 0 && taken.inodes-before.inodes > now.free.inodes {
				s.evict(ctx, fmt.Sprintf("%s, and this bottle takes %s in %d files of it: free some, then resume", now.words(s.config.State), backend.Bytes(taken.bytes), taken.inodes))
				return
			}
		default:
			told = false
		}
		first = false
		// A large tree is not to keep the processor busy.
		timer := time.NewTimer(max(now.pause(), 4*time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// taken is what the bottle takes of that file system: in its state, and in the layer of its
// root file system. For lack of time it counts as far as it was measured. A tree that can't
// be walked, for it is too deep, hides nothing: it counts as all there is.
func (s *supervisor) taken(ctx context.Context, device uint64, layer string) (sum room) {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	for _, place := range []string{s.config.State, layer} {
		if place == "" {
			continue
		}
		err := measure(ctx, place, device, &sum)
		if err != nil {
			log.G(ctx).WithError(err).Debug("measure what the bottle takes")
		}
		if errors.Is(err, unix.ENAMETOOLONG) {
			sum.bytes += allBytes
		}
	}
	return sum
}

// measure adds what a tree takes of the file system.
func measure(ctx context.Context, path string, device uint64, sum *room) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return archive.Walk(ctx, dir, func(entry archive.Entry) error {
		if entry.Stat.Dev == device {
			sum.bytes += entry.Stat.Blocks * 512
			sum.inodes++
		}
		return nil
	})
}

// evict ends the bottle at once: what writes gets no time to write more.
func (s *supervisor) evict(ctx context.Context, why string) {
	log.G(ctx).Error(why)
	s.claude.mu.Lock()
	if s.claude.ending == "" {
		s.claude.ending, s.claude.why = backend.ReasonEvicted, why
	}
	detached := s.claude.detached
	s.claude.mu.Unlock()
	s.policy.evicted(why)
	if detached {
		s.noteAgain(ctx)
	}
	s.end()
}
