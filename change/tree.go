package change

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// tree is a directory below which no link is followed, not even one that stays
// inside: where a path leads through one there is no such file.
type tree struct {
	root *os.Root
	dir  *os.File
	// last is the directory that was read in last: paths come in order.
	last     *os.File
	lastName string
}

func openTree(name string) (*tree, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	dir, err := root.Open(".")
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open directory: %w", err)
	}
	return &tree{root: root, dir: dir}, nil
}

func (t *tree) close() {
	if t.last != nil {
		_ = t.last.Close()
	}
	_ = errors.Join(t.dir.Close(), t.root.Close())
}

// errReplaced is what a path is that changes while it is read.
var errReplaced = fmt.Errorf("it was replaced while it was read, try again: %w", errdefs.ErrUnavailable)

// openat opens one name of a directory, never through a link, and never waits for
// the other end of a FIFO.
func openat(dir *os.File, name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// enter opens the directory that a path lies in. The caller closes it.
func (t *tree) enter(name string) (dir *os.File, base string, err error) {
	parts := strings.Split(name, "/")
	dir, err = openat(t.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, "", err
	}
	for _, part := range parts[:len(parts)-1] {
		next, err := openat(dir, part, unix.O_RDONLY|unix.O_DIRECTORY)
		_ = dir.Close()
		if err != nil {
			return nil, "", err
		}
		dir = next
	}
	return dir, parts[len(parts)-1], nil
}

// look is enter for reading: the directory stays the tree's, which keeps it for the
// next path.
func (t *tree) look(name string) (dir *os.File, base string, err error) {
	cut := strings.LastIndexByte(name, '/')
	if cut < 0 {
		return t.dir, name, nil
	}
	if t.last != nil && t.lastName == name[:cut] {
		return t.last, name[cut+1:], nil
	}
	dir, base, err = t.enter(name)
	if err != nil {
		return nil, "", err
	}
	if t.last != nil {
		_ = t.last.Close()
	}
	t.last, t.lastName = dir, name[:cut]
	return dir, base, nil
}

// lstat looks at a file.
func (t *tree) lstat(name string) (stat unix.Stat_t, err error) {
	dir, base, err := t.look(name)
	if err != nil {
		return stat, err
	}
	return lstatAt(dir, base)
}

func lstatAt(dir *os.File, base string) (stat unix.Stat_t, err error) {
	if err := unix.Fstatat(int(dir.Fd()), base, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return stat, &os.PathError{Op: "look at", Path: base, Err: err}
	}
	return stat, nil
}

// has says that there is something of that name.
func (t *tree) has(name string) bool {
	_, err := t.lstat(name)
	return err == nil
}

// readlink reads a symbolic link.
func (t *tree) readlink(name string) (string, error) {
	dir, base, err := t.look(name)
	if err != nil {
		return "", err
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), base, buffer)
	if err != nil {
		return "", &os.PathError{Op: "read link", Path: base, Err: err}
	}
	return string(buffer[:n]), nil
}

// open opens a regular file to read it.
func (t *tree) open(name string) (*os.File, error) {
	dir, base, err := t.look(name)
	if err != nil {
		return nil, err
	}
	file, err := openat(dir, base, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, errors.Join(errReplaced, err)
	}
	return file, nil
}

// missing says that an error means: there is no such file, or the way to it is no
// directory.
func missing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// copyFile copies an open regular file to a new path, with its holes. What is
// written to it meanwhile may be in the copy or not; one that shrinks is an error.
func copyFile(ctx context.Context, from *os.File, to string, mode os.FileMode) (err error) {
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return copyContent(ctx, from, file)
}

func copyContent(ctx context.Context, from, to *os.File) error {
	err := archive.CopyContent(ctx, to, from)
	if errors.Is(err, archive.ErrShrunk) {
		return errors.Join(errReplaced, err)
	}
	return err
}

// cleanPath accepts a path below a workspace, as the user gives it.
func cleanPath(given string) (string, error) {
	name := path.Clean(strings.TrimPrefix(given, workspacePrefix))
	if name == ".." || strings.HasPrefix(name, "../") || strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("%+q lies outside of the workspace: name a path below it: %w", given, errdefs.ErrInvalidArgument)
	}
	return name, nil
}
