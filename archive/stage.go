package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// about says which path an error is about.
func about(dir *os.File, name string, err error) error {
	return fmt.Errorf("%s/%s: %w", strings.TrimSuffix(dir.Name(), "/"), name, err)
}

func exists(dir *os.File, name string) (bool, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// stage is where a tree waits until it is whole: a directory that nobody else can
// enter, beside the name that it is for, and in it one for the tree.
type stage struct {
	parent *os.File
	name   string
	dir    *os.File
	tree   *os.File
}

const treeName = "tree"

func newStage(parent *os.File) (_ *stage, err error) {
	s := &stage{parent: parent, name: ".claude-bottle-" + rand.Text()}
	if err := unix.Mkdirat(int(parent.Fd()), s.name, 0o700); err != nil {
		return nil, about(parent, s.name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.dir, err = openDirectory(parent, s.name); err != nil {
		return nil, err
	}
	if err := unix.Mkdirat(int(s.dir.Fd()), treeName, 0o700); err != nil {
		return nil, about(s.dir, treeName, err)
	}
	s.tree, err = openDirectory(s.dir, treeName)
	return s, err
}

func openDirectory(parent *os.File, name string) (*os.File, error) {
	fd, err := openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, about(parent, name, err)
	}
	return os.NewFile(uintptr(fd), strings.TrimSuffix(parent.Name(), "/")+"/"+name), nil
}

// remove takes away what is left of the stage.
func (s *stage) remove() error {
	_ = s.tree.Close() // nil is an error, too
	_ = s.dir.Close()
	if err := removeTree(int(s.parent.Fd()), s.name); err != nil {
		return about(s.parent, s.name, fmt.Errorf("remove temporary directory: %w", err))
	}
	return nil
}

// result is the name of the one thing in the tree.
func (s *stage) result(e *extractor) (name string, err error) {
	there := false
	if e.only != "" {
		there, err = exists(s.tree, e.only)
	}
	if err == nil && !there {
		err = fmt.Errorf("nothing came that can be kept: %w", errdefs.ErrInvalidArgument)
	}
	return e.only, err
}

// removeTree removes a file, or a directory with all that it holds, and follows
// no link.
func removeTree(parent int, name string) error {
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, err := openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer func() { _ = dir.Close() }()
	_ = unix.Fchmod(fd, 0o700) // one that may not be written holds its files fast
	for {
		names, err := dir.Readdirnames(1000)
		for _, below := range names {
			if err := removeTree(fd, below); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		}
		if err != nil {
			return err
		}
	}
}
