package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// place moves what was staged to its name, in one step, and sees to it that a
// crash of the host doesn't undo it. What had the name is in the stage then.
func place(from *os.File, what string, parent *os.File, name string, replace bool) error {
	old, fresh := int(from.Fd()), int(parent.Fd())
	flags := uint(unix.RENAME_NOREPLACE)
	if replace {
		taken, err := exists(parent, name)
		if err != nil {
			return err
		}
		if taken {
			flags = unix.RENAME_EXCHANGE
		}
	}
	err := unix.Renameat2(old, what, fresh, name, flags)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = placePlainly(from, what, parent, name, flags == unix.RENAME_EXCHANGE)
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: %w", errdefs.ErrAlreadyExists, err)
	case errors.Is(err, unix.ENOENT) && replace:
		return fmt.Errorf("what was to be replaced is gone, try again: %w", err)
	case err != nil:
		return err
	}
	if err := parent.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems have no such thing
		return fmt.Errorf("flush to the disk: %w", errors.Join(err, unix.Renameat2(fresh, name, old, what, flags)))
	}
	return nil
}

// placePlainly is for file systems whose rename knows no flags. A new name is
// claimed by an empty file or directory first, so that nothing is replaced that
// came just now. What is replaced goes aside for a moment.
func placePlainly(from *os.File, what string, parent *os.File, name string, replace bool) error {
	old, fresh := int(from.Fd()), int(parent.Fd())
	if replace {
		const aside = ".replaced"
		if err := unix.Renameat(fresh, name, old, aside); err != nil {
			return err
		}
		if err := unix.Renameat(old, what, fresh, name); err != nil {
			return errors.Join(err, unix.Renameat(old, aside, fresh, name))
		}
		return nil
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(old, what, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	directory := 0
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		directory = unix.AT_REMOVEDIR
		if err := unix.Mkdirat(fresh, name, 0o700); err != nil {
			return err
		}
	} else {
		fd, err := unix.Openat(fresh, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	if err := unix.Renameat(old, what, fresh, name); err != nil {
		return errors.Join(err, unix.Unlinkat(fresh, name, directory))
	}
	return nil
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
