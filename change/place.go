package change

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// errChanged is what ends an apply in whose way the user is at work.
var errChanged = fmt.Errorf("it was changed meanwhile: apply again: %w", errdefs.ErrUnavailable)

// place puts the new files in place: what goes away first, for a file may come
// where a directory was.
func (x *exchange) place(ctx context.Context, steps []*Step, between func(done int)) error {
	done := 0
	for _, removing := range []bool{true, false} {
		for i, step := range x.journal.Steps {
			if step.Remove != removing {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if between != nil {
				between(done)
			}
			if err := x.placeOne(&x.journal.Steps[i]); err != nil {
				return fmt.Errorf("put %s in place: %w", backend.Printable(steps[i].Path), err)
			}
			done++
		}
	}
	if err := unix.Syncfs(int(x.staging.Fd())); err != nil {
		return fmt.Errorf("write the directories to disk: %w", err)
	}
	return nil
}

func (x *exchange) placeOne(step *journalStep) error {
	name := string(step.Path)
	if !step.Remove {
		if err := x.makeParents(name); err != nil {
			return err
		}
	}
	parent, base, err := x.dest.enter(name)
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	if step.Old == nil {
		return x.placeNew(step, parent, base)
	}
	old := oldName(step.Number)
	if step.Remove {
		err = unix.Renameat(int(parent.Fd()), base, int(x.staging.Fd()), old)
	} else {
		err = x.keepOriginal(parent, base, old)
	}
	if err != nil {
		return err
	}
	aside, err := lstatAt(x.staging, old)
	if err != nil {
		return err
	}
	if !step.Old.is(aside) {
		return errChanged
	}
	if step.Remove {
		return nil
	}
	return unix.Renameat(int(x.staging.Fd()), newName(step.Number), int(parent.Fd()), base)
}

// keepOriginal gives a file a second name in the staging directory: so there is no
// moment without it. Where that can't be it is moved.
func (x *exchange) keepOriginal(parent *os.File, base, old string) error {
	err := unix.Linkat(int(parent.Fd()), base, int(x.staging.Fd()), old, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EMLINK) {
		err = unix.Renameat(int(parent.Fd()), base, int(x.staging.Fd()), old)
	}
	return err
}

// placeNew puts a file where there is none. A directory that is in its place goes
// when nothing is left in it.
func (x *exchange) placeNew(step *journalStep, parent *os.File, base string) error {
	if stat, err := lstatAt(parent, base); err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := removeEmpty(parent, base); err != nil {
			return fmt.Errorf("the directory in its place is not empty: %w", err)
		}
	}
	from, to := int(x.staging.Fd()), int(parent.Fd())
	err := unix.Renameat2(from, newName(step.Number), to, base, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not every file system can
		if _, statErr := lstatAt(parent, base); !errors.Is(statErr, unix.ENOENT) {
			return errors.Join(errChanged, statErr)
		}
		err = unix.Renameat(from, newName(step.Number), to, base)
	}
	if errors.Is(err, unix.EEXIST) {
		return errChanged
	}
	return err
}

// removeEmpty removes a directory that holds nothing but such directories.
func removeEmpty(parent *os.File, base string) error {
	dir, err := openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := removeEmpty(dir, name); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(parent.Fd()), base, unix.AT_REMOVEDIR)
}

// makeParents makes the directories on the way to a path, which get the owner of
// the destination.
func (x *exchange) makeParents(name string) error {
	dirs := above(name)
	for i := len(dirs) - 1; i >= 0; i-- {
		parent, base, err := x.dest.enter(dirs[i])
		if err != nil {
			return err
		}
		err = unix.Mkdirat(int(parent.Fd()), base, 0o755)
		if err == nil {
			err = errors.Join(
				owned(x.owner.Uid, unix.Fchownat(int(parent.Fd()), base, int(x.owner.Uid), int(x.owner.Gid), unix.AT_SYMLINK_NOFOLLOW)),
				chmodDirectory(parent, base))
		}
		_ = parent.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// chmodDirectory undoes what the umask took.
func chmodDirectory(parent *os.File, base string) error {
	dir, err := openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return errors.Join(dir.Chmod(0o755), dir.Close())
}

// rollBack undoes what place did, the last first, by what it finds: it may be called
// again. It names what it can't put back.
func (x *exchange) rollBack() (left []string) {
	if x.staging == nil {
		return nil // nothing was changed yet
	}
	for _, removing := range []bool{false, true} {
		for i := len(x.journal.Steps) - 1; i >= 0; i-- {
			step := &x.journal.Steps[i]
			if step.Remove != removing {
				continue
			}
			if err := x.undo(step); err != nil {
				left = append(left, fmt.Sprintf("%s (%v)", backend.Printable(string(step.Path)), err))
			}
		}
		if !removing {
			for _, dir := range x.journal.Directories { // the nearest first
				_ = x.removeDirectory(string(dir))
			}
		}
	}
	return left
}

func (x *exchange) undo(step *journalStep) error {
	old := oldName(step.Number)
	aside, err := lstatAt(x.staging, old)
	kept := err == nil
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if kept {
		if err := x.makeParents(string(step.Path)); err != nil {
			return err
		}
	}
	parent, base, err := x.dest.enter(string(step.Path))
	if missing(err) && !kept {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	there, err := lstatAt(parent, base)
	absent := errors.Is(err, unix.ENOENT)
	switch {
	case err != nil && !absent:
		return err
	case !kept && (absent || step.New == nil || step.Old != nil || !step.New.is(there)):
		return nil // it was never touched, or is somebody else's by now
	case !kept:
		return unix.Unlinkat(int(parent.Fd()), base, 0)
	case !absent && there.Ino == aside.Ino:
		return nil // it has two names, and loses the one aside
	case !absent && (step.New == nil || !step.New.is(there)):
		return errors.New("it was changed meanwhile")
	default:
		return unix.Renameat(int(x.staging.Fd()), old, int(parent.Fd()), base)
	}
}
