package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// work copies the files of batches until there are no more.
func (c *copier) work() error {
	buffer := make([]byte, plainStep)
	for b := range c.batches {
		err := c.batch(b, buffer)
		b.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) batch(b *batch, buffer []byte) error {
	bytes := int64(0)
	for i := range b.files {
		if err := c.alive(); err != nil {
			return err
		}
		size, err := c.copyFile(b, &b.files[i], buffer)
		if err != nil {
			return err
		}
		bytes += size
	}
	c.count(len(b.files), bytes)
	return nil
}

func (c *copier) copyFile(b *batch, file *copied, buffer []byte) (size int64, err error) {
	path := b.dir + file.name
	from, stat, err := openEntry(b.from, file.name, path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(from) }()
	if stat.Size > file.size && c.e.options.Caps.Bytes > 0 {
		return 0, fmt.Errorf("%s grew while it was copied, try again: %w", path, unix.EAGAIN)
	}
	to, err := c.e.create(b.to, file.name, file.mode)
	if err != nil {
		return 0, fmt.Errorf("make %s: %w", path, err)
	}
	err = c.copyContent(to, from, stat, buffer)
	if err == nil {
		err = c.e.finishFile(to, file.mode, file.time)
	}
	if closeErr := unix.Close(to); err == nil && closeErr != nil {
		err = closeErr
	}
	switch {
	case errors.Is(err, ErrShrunk):
		return 0, shrunk(path)
	case err != nil:
		return 0, fmt.Errorf("copy %s: %w", path, err)
	}
	return stat.Size, nil
}

// ErrShrunk says that a file ended before the size that it had.
var ErrShrunk = errors.New("shrunk")

// contentCopier copies what files hold, and learns which ways there are.
type contentCopier struct {
	alive  func() error // says why to stop
	clone  atomic.Bool  // the file systems share content
	ranges atomic.Bool  // the kernel copies content
}

// CopyContent copies what an open regular file holds by now into an empty one, in the
// cheapest way that there is. Holes stay holes. What is written to it meanwhile may be
// in the copy or not; one that shrinks is ErrShrunk.
func CopyContent(ctx context.Context, to, from *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &stat); err != nil {
		return err
	}
	c := &contentCopier{alive: func() error { return context.Cause(ctx) }}
	c.clone.Store(true)
	c.ranges.Store(true)
	return c.copyContent(int(to.Fd()), int(from.Fd()), stat, make([]byte, max(1, min(stat.Size, plainStep))))
}

// plainStep is how much is read and written at a time, in bytes.
const plainStep = 128 << 10

// copyContent copies as many bytes as the file has by now, in the cheapest way
// that there is. Holes stay holes.
func (c *contentCopier) copyContent(to, from int, stat unix.Stat_t, buffer []byte) error {
	size := stat.Size
	if size == 0 {
		return nil
	}
	if c.clone.Load() {
		if unix.IoctlFileClone(to, from) == nil {
			return nil
		}
		c.clone.Store(false)
	}
	if stat.Blocks*blockSize >= size {
		return c.copyRange(to, from, 0, size, buffer)
	}
	for at := int64(0); at < size; {
		start, end, err := data(from, at, size)
		if err != nil {
			return err
		}
		if err := c.copyRange(to, from, start, end, buffer); err != nil {
			return err
		}
		at = end
	}
	// What was cut off looks like a hole.
	if err := unix.Fstat(from, &stat); err != nil {
		return err
	}
	if stat.Size < size {
		return ErrShrunk
	}
	return unix.Ftruncate(to, size)
}

// data finds the next part of a file that is no hole, or size, size.
func data(fd int, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL):
		return at, size, nil // a file system that tells nothing of holes
	case err != nil:
		return 0, 0, err
	}
	end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil // cut off just now
	}
	return min(start, size), min(end, size), err
}

// rangeFrom is the size from which on the kernel copies content faster than a
// read and a write.
const rangeFrom = 64 << 10

// copyRange copies one part of a file to the same place.
func (c *contentCopier) copyRange(to, from int, at, end int64, buffer []byte) error {
	for end-at >= rangeFrom && c.ranges.Load() {
		if err := c.alive(); err != nil {
			return err
		}
		const most = 64 << 20
		in, out := at, at
		n, err := unix.CopyFileRange(from, &in, to, &out, int(min(end-at, most)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
			return err
		case err != nil:
			c.ranges.Store(false)
		case n == 0:
			return c.copyPlainly(to, from, at, end, buffer) // which knows why
		default:
			at += int64(n)
		}
	}
	return c.copyPlainly(to, from, at, end, buffer)
}

// copyPlainly reads and writes.
func (c *contentCopier) copyPlainly(to, from int, at, end int64, buffer []byte) error {
	for at < end {
		if err := c.alive(); err != nil {
			return err
		}
		n, err := unix.Pread(from, buffer[:min(end-at, int64(len(buffer)))], at)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return ErrShrunk
		}
		if err := writeAt(to, buffer[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
