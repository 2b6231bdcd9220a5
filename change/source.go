package change

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"golang.org/x/sys/unix"
)

// side is where the contents of one side of some changes are put: a file each,
// called by the number of its change.
type side struct {
	dir string
	// largest and left bound what is put there, in bytes; 0 is no bound.
	largest, left int64
}

func (s *side) path(number int) string { return filepath.Join(s.dir, sideName(number)) }

// sideName has as many digits for every number, so that their order is the changes'.
func sideName(number int) string { return fmt.Sprintf("%08d", number) }

// fits says whether there is room for a content, and takes it.
func (s *side) fits(size int64) bool {
	if s.largest == 0 {
		return true
	}
	if size > s.largest || size > s.left {
		return false
	}
	s.left -= size
	return true
}

// source gives the contents of files. What it can't give is told in absent.
type source interface {
	fetch(ctx context.Context, changes []*Change, wanted []int, to *side, absent func(number int, note string)) error
}

// treeSource is the files of a tree as they are now.
type treeSource struct {
	tree *tree
	old  bool // it is what the changes begin from
}

func (s treeSource) fetch(ctx context.Context, changes []*Change, wanted []int, to *side, absent func(int, string)) error {
	for _, number := range wanted {
		change := changes[number]
		note, err := s.one(ctx, change.Path, change.modeOf(s.old), to, number)
		switch {
		case missing(err) || errors.Is(err, errReplaced):
			absent(number, noteReplaced)
		case err != nil:
			return fmt.Errorf("read %s: %w", backend.Printable(change.Path), err)
		case note != "":
			absent(number, note)
		}
	}
	return nil
}

// one fetches a file, which must still be of that mode's type: what was decided
// about a file does not hold for a link.
func (s treeSource) one(ctx context.Context, path, mode string, to *side, number int) (note string, err error) {
	file, target, err := s.open(path, mode)
	if err != nil {
		return "", err
	}
	if file == nil {
		return "", os.Symlink(target, to.path(number))
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !to.fits(info.Size()) {
		return noteLarge, nil
	}
	permissions := os.FileMode(0o644)
	if mode == gitExecutable {
		permissions = 0o755
	}
	return "", copyFile(ctx, file, to.path(number), permissions)
}

// open opens a file, or reads a link.
func (s treeSource) open(path, mode string) (file *os.File, target string, err error) {
	if mode != gitLink {
		file, err = s.tree.open(path)
		return file, "", err
	}
	target, err = s.tree.readlink(path)
	if errors.Is(err, unix.EINVAL) {
		err = errReplaced
	}
	return nil, target, err
}

// modeOf is git's mode of one side.
func (c *Change) modeOf(old bool) string {
	if old {
		return c.OldMode
	}
	return c.Mode
}

// openSide opens what was put into a side. A link there is the agent's own.
func openSide(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
}

// base is what went into a bottle.
type base struct {
	work  *backend.Work
	index map[string]content
	was   archive.Baseline
}

// has says that the content of a file is at hand.
func (b *base) has(path string) bool {
	kept, ok := b.index[path]
	past, there := b.was.Past(path)
	return ok && there && kept.matches(past)
}

// equals says whether a file of a tree holds what went in.
func (b *base) equals(ctx context.Context, in *tree, path string) (bool, error) {
	kept := b.index[path]
	if kept.kind == keptLink {
		target, err := in.readlink(path)
		return target == kept.reference, err
	}
	file, err := in.open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || info.Size() != kept.size {
		return false, err
	}
	if kept.kind == keptBlob {
		name, err := hostgit.BlobName(until(ctx, file), kept.size, len(kept.reference))
		return name == kept.reference, err
	}
	copied, err := os.Open(b.file(kept))
	if err != nil {
		return false, err
	}
	defer func() { _ = copied.Close() }()
	return sameBytes(ctx, file, copied)
}

func (b *base) file(kept content) string {
	return filepath.Join(b.work.Path(backend.StateBase), baseFiles, kept.reference)
}

// readFunc is a function that reads.
type readFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// until is a reader that ends with the context.
func until(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}

// sameBytes compares two files to their ends.
func sameBytes(ctx context.Context, a, b io.Reader) (bool, error) {
	const chunk = 128 << 10
	one, two := make([]byte, chunk), make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := io.ReadFull(a, one)
		m, otherErr := io.ReadFull(b, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		for _, err := range []error{err, otherErr} {
			switch {
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				return n == m, nil
			case err != nil:
				return false, err
			}
		}
	}
	return false, context.Cause(ctx)
}

func (b *base) fetch(ctx context.Context, changes []*Change, wanted []int, to *side, absent func(int, string)) error {
	var blobs []int
	for _, number := range wanted {
		kept := b.index[changes[number].Path]
		var err error
		switch {
		case kept.kind == keptLink:
			err = os.Symlink(kept.reference, to.path(number))
		case !to.fits(kept.size):
			absent(number, noteLarge)
		case kept.kind == keptBlob:
			blobs = append(blobs, number)
		default:
			err = b.copyKept(ctx, kept, to.path(number))
		}
		if err != nil {
			return fmt.Errorf("read what went in: %w", err)
		}
	}
	if len(blobs) == 0 {
		return nil
	}
	return b.fetchBlobs(ctx, changes, blobs, to, absent)
}

func (b *base) copyKept(ctx context.Context, kept content, to string) error {
	file, err := os.Open(b.file(kept))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return copyFile(ctx, file, to, fileMode(kept.mode))
}

func fileMode(mode uint32) os.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
