package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// lock is a held flock. Whoever inherits the file holds it too: the kernel lets
// go when the last copy is closed, also by kill -9.
type lock struct{ file *os.File }

// acquire makes the lock file when it is missing and takes the lock. A lock
// that somebody else holds is an Unavailable error.
func acquire(path string, wait bool) (*lock, error) {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open lock: %w", err)
		}
		if err := flock(file, how); err != nil {
			_ = file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("lock %s is held: %w", path, errdefs.ErrUnavailable)
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The file may have been unlinked between open and lock; then
		// what is locked is nobody's name any more.
		same, err := stillThere(file, path)
		if err != nil {
			_ = file.Close()
			return nil, err
		}
		if same {
			return &lock{file: file}, nil
		}
		_ = file.Close()
	}
}

// held says whether somebody holds the lock at path.
func held(path string) (bool, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	// A shared lock asks without taking the place of a holder for longer
	// than this call, and two askers don't see each other.
	err = flock(file, unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for lock %s: %w", path, err)
	}
	return false, nil
}

// release lets go of this copy of the lock.
func (l *lock) release() {
	if l != nil {
		_ = l.file.Close()
	}
}

func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func stillThere(file *os.File, path string) (bool, error) {
	opened, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("check lock: %w", err)
	}
	named, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check lock: %w", err)
	}
	return os.SameFile(opened, named), nil
}

// checkOwned refuses a directory that somebody else could have planted.
func checkOwned(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return fmt.Errorf("state directory %s is not a directory: move it away: %w", path, errdefs.ErrFailedPrecondition)
	}
	if int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("state directory %s belongs to uid %d: chown it or choose another with --root and --run-root: %w", path, stat.Uid, errdefs.ErrFailedPrecondition)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state directory %s is writable by others (mode %s): chmod 711 it: %w", path, info.Mode().Perm(), errdefs.ErrFailedPrecondition)
	}
	return nil
}
