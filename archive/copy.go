package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Copy copies the tree below from into the directory to, as Pack and Extract do
// with a stream between them: by the same decisions, with the same result. It is
// faster, for the kernel copies content, or shares it where the file system can,
// and several workers take part. A file that shrinks while it is read is an error;
// what was copied until an error stays.
func Copy(ctx context.Context, from, to *os.File, pack PackOptions, options Options) (Summary, error) {
	e := newExtractor(to, options)
	defer e.closeStack()
	group, running := errgroup.WithContext(ctx)
	c := &copier{e: e, done: pack.Done, batches: make(chan *batch, maxWorkers), contentCopier: contentCopier{alive: running.Err}}
	c.stopped = running.Done()
	c.clone.Store(true)
	c.ranges.Store(true)
	for range min(maxWorkers, max(minWorkers, runtime.GOMAXPROCS(0))) {
		group.Go(c.work)
	}
	p := &packer{options: pack, to: c, links: map[inode]string{}}
	err := p.tree(running, from)
	if err == nil {
		err = c.flush()
	}
	c.current.close()
	close(c.batches)
	if workErr := group.Wait(); workErr != nil {
		err = workErr // it ended the walk, too
	}
	for left := range c.batches {
		left.close()
	}
	if err == nil {
		err = c.finish()
	}
	e.summary.Files += c.files
	e.summary.Bytes = c.bytes
	if ctx.Err() != nil {
		return e.summary, context.Cause(ctx)
	}
	if err != nil {
		return e.summary, fmt.Errorf("copy %s: %w", from.Name(), err)
	}
	return e.summary, nil
}

// One worker copies content while the walk looks for more; above four, the walk
// does not keep up.
const (
	minWorkers = 2
	maxWorkers = 4
)

// copier is the sink that makes another tree. The walk makes all but regular
// files, which go to the workers in batches.
type copier struct {
	e             *extractor // the walk's own, but for its options
	links         []header   // hard links, made when the files are there
	current       *batch
	batches       chan *batch
	stopped       <-chan struct{}
	contentCopier // whose alive says why the workers should stop

	mutex sync.Mutex // guards what follows
	done  func(bytes int64)
	files int
	bytes int64
}

// batch are regular files of one directory.
type batch struct {
	dir      string // with a slash at its end, or ""
	from, to int    // the directory here and there, the batch's own
	bytes    int64
	files    []copied
}

// copied is one file to be copied.
type copied struct {
	name string
	mode uint32
	size int64
	time unix.Timespec
}

// A batch has so many files, or so many bytes.
const (
	batchFiles = 32
	batchBytes = 1 << 20
)

func (b *batch) close() {
	if b != nil {
		_ = unix.Close(b.from)
		_ = unix.Close(b.to)
	}
}

func (h *header) tar(size int64) *tar.Header {
	return &tar.Header{
		Typeflag: h.kind, Name: h.name, Linkname: h.link, Mode: int64(h.mode), Size: size, ModTime: time.Unix(h.seconds, h.nanos),
	}
}

func (c *copier) header(h *header) error {
	if h.kind == tar.TypeLink {
		c.links = append(c.links, *h)
		return nil
	}
	return c.e.entry(h.tar(0), nil)
}

func (c *copier) content(h header, size int64, from io.Reader) error {
	before := c.e.summary.Bytes
	if err := c.e.entry(h.tar(size), from); err != nil {
		return err
	}
	c.count(0, c.e.summary.Bytes-before)
	return nil
}

// file puts a file into the batch of its directory.
func (c *copier) file(h header, entry Entry) error {
	size := entry.Stat.Size
	parts, err := c.e.admit(h.tar(size))
	if err != nil {
		return err
	}
	c.e.summary.Bytes += size // for the cap
	dir := entry.Path[:len(entry.Path)-len(entry.name)]
	if c.current != nil && c.current.dir != dir {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if c.current == nil {
		to, err := c.e.enter(parts[:len(parts)-1])
		if err != nil {
			return err
		}
		if c.current, err = newBatch(dir, entry.parent, to); err != nil {
			return err
		}
	}
	b := c.current
	b.files = append(b.files, copied{
		name: entry.name, mode: h.mode & 0o777, size: size, time: unix.Timespec{Sec: h.seconds, Nsec: h.nanos},
	})
	if b.bytes += size; len(b.files) < batchFiles && b.bytes < batchBytes {
		return nil
	}
	return c.flush()
}

func newBatch(dir string, from, to int) (*batch, error) {
	from, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	to, err = unix.FcntlInt(uintptr(to), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(from)
		return nil, err
	}
	return &batch{dir: dir, from: from, to: to, files: make([]copied, 0, batchFiles)}, nil
}

// flush hands the batch at hand to the workers.
func (c *copier) flush() error {
	b := c.current
	if b == nil {
		return nil
	}
	select {
	case c.batches <- b:
		c.current = nil
		return nil
	case <-c.stopped:
		return c.alive()
	}
}

// finish makes what needs all files: links, and the times of directories.
func (c *copier) finish() error {
	for i := range c.links {
		if err := c.e.entry(c.links[i].tar(0), nil); err != nil {
			return extracting(c.links[i].name, err)
		}
	}
	if err := c.e.finishSymlinks(); err != nil {
		return err
	}
	return c.e.finishDirectories()
}

// count adds to what is done, and tells of it.
func (c *copier) count(files int, bytes int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.files += files
	c.bytes += bytes
	if c.done != nil {
		c.done(c.bytes)
	}
}
