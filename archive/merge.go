package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// merger moves what was staged to where it belongs, and can undo that.
type merger struct {
	staged, dir *os.File
	moves       []moved
	stuck       bool // undo has failed
}

// moved is one move that was made: two paths below staged and dir.
type moved struct {
	from, to  string
	exchanged bool
}

// deliver puts what has that name where it belongs.
func (m *merger) deliver(ctx context.Context, what string, at destination) error {
	directory, _, err := isDirectory(m.staged, what)
	if err != nil {
		return about(m.staged, what, err)
	}
	if at.mustBeDirectory && !directory {
		return fmt.Errorf("%s: what comes is no directory, and can't become one: %w", at.dir.Name(), errdefs.ErrFailedPrecondition)
	}
	if at.name != "" {
		return m.entry(ctx, m.staged, m.dir, moved{from: what, to: at.name})
	}
	below, err := emptied(m.staged, what)
	if err != nil {
		return err
	}
	defer func() { _ = below.Close() }()
	return m.entries(ctx, below, m.dir, moved{from: what})
}

// entries puts all that a staged directory holds into another.
func (m *merger) entries(ctx context.Context, staged, dir *os.File, at moved) error {
	names, err := staged.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("list %s: %w", staged.Name(), err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := m.entry(ctx, staged, dir, moved{from: path.Join(at.from, name), to: path.Join(at.to, name)}); err != nil {
			return err
		}
	}
	return nil
}

// entry puts one thing in place. staged and dir are the directories of its paths.
func (m *merger) entry(ctx context.Context, staged, dir *os.File, at moved) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	what, name := path.Base(at.from), path.Base(at.to)
	comes, _, err := isDirectory(staged, what)
	if err != nil {
		return about(staged, what, err)
	}
	is, taken, err := isDirectory(dir, name)
	switch {
	case err != nil:
		return about(dir, name, err)
	case taken && comes && is:
		return m.both(ctx, staged, dir, at)
	case taken && is:
		return about(dir, name, fmt.Errorf("it is a directory, and what comes is none: %w", errdefs.ErrFailedPrecondition))
	case taken && comes:
		return about(dir, name, fmt.Errorf("it is no directory, and what comes is one: %w", errdefs.ErrFailedPrecondition))
	}
	if err := move(staged, what, dir, name, taken); err != nil {
		if errors.Is(err, errStuck) {
			m.stuck = true
			err = fmt.Errorf("what it was is kept in %s: %w", m.staged.Name(), err)
		}
		return about(dir, name, KindOf(err))
	}
	at.exchanged = taken
	m.moves = append(m.moves, at)
	return nil
}

// both merges a directory into one of that name.
func (m *merger) both(ctx context.Context, staged, dir *os.File, at moved) error {
	from, err := emptied(staged, path.Base(at.from))
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := openDirectory(dir, path.Base(at.to))
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	return m.entries(ctx, from, to, at)
}

// emptied opens a staged directory whose entries go elsewhere: its own mode must
// not hold them.
func emptied(parent *os.File, name string) (*os.File, error) {
	dir, err := openDirectory(parent, name)
	if err == nil {
		_ = dir.Chmod(0o700) // it goes away
	}
	return dir, err
}

// isDirectory says whether a name is one of a directory, and whether it is there.
func isDirectory(parent *os.File, name string) (directory, there bool, err error) {
	var stat unix.Stat_t
	err = unix.Fstatat(int(parent.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, false, nil
	}
	return stat.Mode&unix.S_IFMT == unix.S_IFDIR, err == nil, err
}

// undo moves everything back, the last first.
func (m *merger) undo() error {
	var failed error
	for _, made := range slices.Backward(m.moves) {
		if err := m.back(made); err != nil {
			m.stuck = true
			failed = errors.Join(failed, fmt.Errorf("undo %s/%s (what it was is kept in %s): %w", m.dir.Name(), made.to, m.staged.Name(), err))
		}
	}
	return failed
}

func (m *merger) back(made moved) error {
	from, err := descend(m.staged, path.Dir(made.from))
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := descend(m.dir, path.Dir(made.to))
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	if made.exchanged { // the same way again: what is aside on the way stays in the stage
		return move(from, path.Base(made.from), to, path.Base(made.to), true)
	}
	return move(to, path.Base(made.to), from, path.Base(made.from), false)
}

// descend opens a directory below another, through no link.
func descend(root *os.File, below string) (*os.File, error) {
	parts, err := split(below)
	if err != nil {
		return nil, err
	}
	dir, err := openDirectory(root, ".")
	for _, part := range parts {
		if err != nil {
			return nil, err
		}
		var next *os.File
		next, err = openDirectory(dir, part)
		_ = dir.Close()
		dir = next
	}
	return dir, err
}
