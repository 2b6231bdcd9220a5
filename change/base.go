package change

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// maxBase bounds the contents that are kept beside a workspace, in bytes. What does
// not fit is shown by its name alone. Clones take no room, and don't count.
const maxBase = 1 << 30

// WriteBase keeps the contents of what goes into a bottle below state, for diff and
// apply. Of files that git has, as they are, only the object's name is kept; the
// rest is copied. goes says what goes in. It may run beside the copy: a file that
// changes in between has another time in the two, and counts as not at hand.
func WriteBase(ctx context.Context, state string, tree *backend.WorkTree, goes func(archive.Entry) error) (err error) {
	dir := filepath.Join(state, backend.StateBase)
	if err := os.MkdirAll(filepath.Join(dir, baseFiles), 0o700); err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	root, err := tree.Root().Open(".")
	if err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	defer func() { _ = root.Close() }()
	blobs, err := trackedFiles(ctx, tree.Path)
	if err != nil {
		return err
	}
	return (&baseWriter{tree: tree.Root(), dir: filepath.Join(dir, baseFiles), blobs: blobs, left: maxBase}).write(ctx, filepath.Join(dir, baseIndex), root, goes)
}

// write writes the index, and copies what is to be copied.
func (w *baseWriter) write(ctx context.Context, index string, root *os.File, goes func(archive.Entry) error) error {
	file, err := os.OpenFile(index, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	w.out = bufio.NewWriterSize(file, 64<<10)
	w.printf("%s\n", baseHeader)
	if !looksBare(w.tree) {
		err = archive.Walk(ctx, root, func(entry archive.Entry) error {
			if err := goes(entry); err != nil {
				return err
			}
			return w.entry(entry)
		})
	}
	w.printf("%s %d\n", baseEnd, w.count)
	if err = errors.Join(err, w.err, w.out.Flush(), file.Close()); err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	return nil
}

// looksBare says that a directory is itself a repository, whose objects nobody
// wants to compare.
func looksBare(root *os.Root) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := root.Lstat(name); err != nil {
			return false
		}
	}
	return true
}

type baseWriter struct {
	out   *bufio.Writer
	tree  *os.Root
	dir   string
	blobs map[string]blob
	known Known // files that the user's repository has, as the user has said
	left  int64
	count int
	files int
	err   error
}

func (w *baseWriter) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, format, args...)
	}
}

// entry notes one file of the tree.
func (w *baseWriter) entry(entry archive.Entry) error {
	if entry.Path == ".git" || strings.HasSuffix(entry.Path, "/.git") {
		return archive.ErrSkip
	}
	kept := content{mode: entry.Stat.Mode, size: entry.Stat.Size, seconds: entry.Stat.Mtim.Sec, nanos: entry.Stat.Mtim.Nsec}
	switch entry.Kind() {
	case unix.S_IFLNK:
		target, err := w.tree.Readlink(entry.Path)
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile: not at hand
		}
		kept.kind, kept.reference = keptLink, target
	case unix.S_IFREG:
		// Line ends, encodings and filters make another size of it.
		if blob, ok := w.blobs[entry.Path]; ok && blob.size == kept.size {
			kept.kind, kept.reference = keptBlob, blob.name
		} else if name := w.known.name(entry.Path, kept); name != "" {
			kept.kind, kept.reference = keptBlob, name
		} else if there, err := w.copy(entry.Path, &kept); err != nil || !there {
			return err
		}
	default:
		return nil
	}
	w.printf("%s\n", kept.line(entry.Path))
	w.count++
	return w.err
}

// copy keeps a copy of a file, unless it is too large or changes meanwhile.
func (w *baseWriter) copy(path string, kept *content) (there bool, err error) {
	from, err := w.tree.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, nil //nolint:nilerr // gone meanwhile, or nobody may read it: not at hand
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	name := filepath.Join(w.dir, strconv.Itoa(w.files+1))
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	cloned := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil
	if !cloned && info.Size() <= w.left {
		_, err = io.Copy(to, io.LimitReader(from, info.Size()))
	}
	after, statErr := from.Stat()
	if err = errors.Join(err, statErr, to.Close()); err != nil {
		return false, fmt.Errorf("copy %s: %w", path, err)
	}
	if !cloned && info.Size() > w.left || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		return false, os.Remove(name)
	}
	w.files++
	if !cloned {
		w.left -= info.Size()
	}
	kept.kind, kept.reference = keptFile, strconv.Itoa(w.files)
	kept.size, kept.seconds, kept.nanos = info.Size(), info.ModTime().Unix(), int64(info.ModTime().Nanosecond())
	return true, nil
}
