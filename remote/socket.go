package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	accounts "os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/containerd/errdefs"
)

// Listen listens on a Unix socket that root and the members of a group may connect to. A
// socket that nobody serves is replaced, and left at the end; one that is served is an
// Unavailable error. A group that does not exist is a NotFound error. The caller closes the
// listener.
func Listen(path, group string) (_ *net.UnixListener, err error) {
	found, err := accounts.LookupGroup(group)
	if err != nil {
		return nil, fmt.Errorf("there is no group %s, so no user but root is served: `groupadd %s` makes it: %w: %w", group, group, err, errdefs.ErrNotFound)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	if err := checkPlace(path); err != nil {
		return nil, err
	}
	// Nobody may connect before the socket has its owner and mode: it gets both where
	// nobody else can look, and then its name.
	hidden, err := os.MkdirTemp(filepath.Dir(path), ".claude-bottle-")
	if err != nil {
		return nil, fmt.Errorf("listen for users: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(hidden)) }()
	made := filepath.Join(hidden, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for users: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chown(made, 0, gid), os.Chmod(made, 0o660)); err != nil { //nolint:gosec // the group is to connect
		return nil, errors.Join(fmt.Errorf("listen for users: %w", err), listener.Close())
	}
	if err := os.Rename(made, path); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for users: %w", err), listener.Close())
	}
	return listener, nil
}

// checkPlace refuses a directory in which somebody else could put another socket in the
// place of this one, and a file that is no socket.
func checkPlace(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("listen for users: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("listen for users: %s must belong to root and be writable by nobody else: choose another path: %w", filepath.Dir(path), errdefs.ErrFailedPrecondition)
	}
	if conn, err := net.Dial("unix", path); err == nil { //nolint:noctx // nothing to wait for
		return errors.Join(fmt.Errorf("listen for users: %s is served by another controller: %w", path, errdefs.ErrUnavailable), conn.Close())
	}
	there, err := os.Lstat(path)
	if err == nil && there.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen for users: %s is there and no socket: move it away: %w", path, errdefs.ErrFailedPrecondition)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listen for users: %w", err)
	}
	return nil
}
