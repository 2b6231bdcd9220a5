package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// move renames, to a name that is free, or in exchange for what has it.
func move(from *os.File, what string, to *os.File, name string, exchange bool) error {
	flags := uint(unix.RENAME_NOREPLACE)
	if exchange {
		flags = unix.RENAME_EXCHANGE
	}
	err := unix.Renameat2(int(from.Fd()), what, int(to.Fd()), name, flags)
	switch {
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS):
		if exchange {
			return exchangePlainly(unix.Renameat, from, what, to, name)
		}
		return placePlainly(from, what, to, name)
	case errors.Is(err, unix.EACCES) && !exchange:
		return moveReadOnly(from, what, to, name)
	default:
		return err
	}
}

// errStuck says that a move has failed half-way and could not be undone.
var errStuck = errors.New("it could not be put back")

// renamer is unix.Renameat.
type renamer func(fromDir int, from string, toDir int, to string) error

// exchangePlainly is for file systems whose rename can't exchange: for a moment the
// name is free.
func exchangePlainly(rename renamer, from *os.File, what string, to *os.File, name string) error {
	const aside = ".claude-bottle-exchanged"
	old, fresh := int(from.Fd()), int(to.Fd())
	if err := rename(fresh, name, old, aside); err != nil {
		return err
	}
	err := rename(old, what, fresh, name)
	if err == nil {
		if err = rename(old, aside, old, what); err == nil {
			return nil
		}
		if undoErr := rename(fresh, name, old, what); undoErr != nil {
			return errors.Join(err, undoErr, errStuck)
		}
	}
	if undoErr := rename(old, aside, fresh, name); undoErr != nil {
		return errors.Join(err, undoErr, errStuck)
	}
	return err
}

// moveReadOnly moves a directory that its own mode keeps where it is, for who is not
// root.
func moveReadOnly(from *os.File, what string, to *os.File, name string) error {
	dir, err := openDirectory(from, what)
	if err != nil {
		return unix.EACCES
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if err := dir.Chmod(info.Mode().Perm() | 0o200); err != nil {
		return err
	}
	moveErr := unix.Renameat2(int(from.Fd()), what, int(to.Fd()), name, unix.RENAME_NOREPLACE)
	err = errors.Join(moveErr, dir.Chmod(info.Mode().Perm()))
	if err == nil || moveErr != nil {
		return err
	}
	if backErr := unix.Renameat2(int(to.Fd()), name, int(from.Fd()), what, unix.RENAME_NOREPLACE); backErr != nil {
		return errors.Join(err, backErr, errStuck)
	}
	return err
}

// placePlainly is for file systems whose rename knows no flags. A new name is
// claimed by an empty file or directory first, so that nothing is replaced that
// came just now.
func placePlainly(from *os.File, what string, parent *os.File, name string) error {
	old, fresh := int(from.Fd()), int(parent.Fd())
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
