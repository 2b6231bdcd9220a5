package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// maxDepth bounds how deep a tree may be.
const maxDepth = 512

// Entry is one file of a tree, as a walk sees it.
type Entry struct {
	// Path is relative to the root, with slashes.
	Path string
	Stat unix.Stat_t

	parent int // descriptor of its directory, for the call alone
	name   string
}

// Kind is the entry's type, as in unix.S_IFMT.
func (e Entry) Kind() uint32 { return e.Stat.Mode & unix.S_IFMT }

// IsDir says that the entry is a directory.
func (e Entry) IsDir() bool { return e.Kind() == unix.S_IFDIR }

// ErrSkip is what a walk's function returns to leave an entry out, and all below it.
var ErrSkip = errors.New("skip this directory")

// Walk calls visit for everything below root, each directory before what it
// holds, names in byte order. It follows no link. A file that goes away in the
// middle is left out.
func Walk(ctx context.Context, root *os.File, visit func(Entry) error) error {
	fd, err := unix.Openat(int(root.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", root.Name(), err)
	}
	return walkDir(ctx, os.NewFile(uintptr(fd), root.Name()), "", 0, visit)
}

// walkDir owns dir.
func walkDir(ctx context.Context, dir *os.File, prefix string, depth int, visit func(Entry) error) error {
	defer func() { _ = dir.Close() }()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if depth > maxDepth {
		return fmt.Errorf("%s is more than %d directories deep: %w", prefix, maxDepth, unix.ENAMETOOLONG)
	}
	names, err := dir.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("list %s: %w", dir.Name(), err)
	}
	slices.Sort(names)
	fd := int(dir.Fd())
	for _, name := range names {
		entry := Entry{Path: path.Join(prefix, name), parent: fd, name: name}
		err := unix.Fstatat(fd, name, &entry.Stat, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", entry.Path, err)
		}
		err = visit(entry)
		if errors.Is(err, ErrSkip) {
			continue
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			continue
		}
		below, err := openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open %s: %w", entry.Path, err)
		}
		if err := walkDir(ctx, os.NewFile(uintptr(below), entry.Path), entry.Path, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

// openat opens one name of a directory, never through a link.
func openat(parent int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(parent, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
