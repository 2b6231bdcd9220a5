package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// NewOptions say what ExtractNew makes of a stream.
type NewOptions struct {
	Options
	// Single says that the stream holds one file or one directory, under
	// whatever name: that becomes what is made. Otherwise the stream's root
	// becomes a directory.
	Single bool
	// Replace puts it in place of what has the name already.
	Replace bool
}

// ExtractNew unpacks a stream to a new name in parent, whole or not at all: first
// into a temporary directory beside it, which is flushed to the disk, then moved
// in place. A name that exists is an error of kind AlreadyExists and stays, or
// with Replace is exchanged in one step. An error leaves all as it was; a crash
// may leave the temporary directory, called .claude-bottle-*.
func ExtractNew(ctx context.Context, parent *os.File, name string, r io.Reader, options NewOptions) (_ Summary, err error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return Summary{}, fmt.Errorf("extract to %q: give a name in %s: %w", name, parent.Name(), errdefs.ErrInvalidArgument)
	}
	taken, err := exists(parent, name)
	if err == nil && taken && !options.Replace {
		err = errdefs.ErrAlreadyExists
	}
	if err != nil {
		return Summary{}, about(parent, name, err)
	}
	waiting, err := newStage(parent)
	if err != nil {
		return Summary{}, err
	}
	defer func() {
		if removeErr := waiting.remove(); err == nil {
			err = removeErr
		}
	}()
	e := newExtractor(waiting.tree, options.Options)
	defer e.closeStack()
	e.single = options.Single
	if err := e.run(ctx, r); err != nil {
		return e.summary, err
	}
	from, what, err := waiting.result(e)
	if err == nil {
		err = flush(ctx, waiting.dir, e.summary.Files)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = place(from, what, parent, name, options.Replace)
	}
	if err != nil {
		return e.summary, about(parent, name, err)
	}
	return e.summary, nil
}

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

// result is what goes to its place: the one thing in the tree, or the tree.
func (s *stage) result(e *extractor) (dir *os.File, name string, err error) {
	if e.single {
		there := false
		if e.only != "" {
			there, err = exists(s.tree, e.only)
		}
		if err == nil && !there {
			err = fmt.Errorf("nothing came that can be kept: %w", errdefs.ErrInvalidArgument)
		}
		return s.tree, e.only, err
	}
	fd := int(s.tree.Fd())
	mode := uint32(0o755)
	if e.root != nil {
		mode = e.root.mode
	}
	err = unix.Fchmod(fd, mode)
	if err == nil && !e.owned {
		err = unix.Fchown(fd, e.options.UID, e.options.GID)
	}
	if err == nil && e.root != nil {
		err = setTime(fd, e.root.time)
	}
	return s.dir, treeName, err
}
