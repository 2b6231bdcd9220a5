package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Sockets that are looked at when neither a flag nor CONTAINERD_ADDRESS names
// one.
const (
	SystemAddress  = "/run/containerd/containerd.sock"
	PrivateAddress = "/run/claude-bottle/containerd/containerd.sock"
)

// FindAddress returns the absolute path of the socket to use: the flag,
// CONTAINERD_ADDRESS, or the first known one that exists.
func FindAddress(flag string, lookup func(string) (string, bool)) (string, error) {
	for _, given := range []struct{ from, value string }{{"--address", flag}, {"CONTAINERD_ADDRESS", valueOf(lookup, "CONTAINERD_ADDRESS")}} {
		if given.value == "" {
			continue
		}
		path := strings.TrimPrefix(given.value, "unix://")
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("%s %q is not an absolute path: %w", given.from, given.value, errdefs.ErrInvalidArgument)
		}
		return filepath.Clean(path), nil
	}
	for _, path := range []string{SystemAddress, PrivateAddress} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no containerd socket at %s or %s: start containerd, or name its socket with --address: %w", SystemAddress, PrivateAddress, errdefs.ErrUnavailable)
}

func valueOf(lookup func(string) (string, bool), name string) string {
	value, _ := lookup(name)
	return value
}

// checkSocket refuses a socket that somebody else than root could talk to, or
// put another one in the place of: whoever talks to it is root.
func checkSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("containerd socket %s does not exist: start containerd, or name another socket with --address: %w", path, errdefs.ErrUnavailable)
	case err != nil:
		return fmt.Errorf("look at containerd socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket: name containerd's with --address: %w", path, errdefs.ErrInvalidArgument)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("containerd socket %s can be written by everybody (mode %s), which makes everybody root: chmod 660 it: %w", path, info.Mode().Perm(), errdefs.ErrFailedPrecondition)
	}
	return checkParents(path)
}

// checkParents refuses a path that somebody else than root can swap.
func checkParents(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("look at %s: %w", dir, err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("look at %s: no owner: %w", dir, errdefs.ErrInternal)
		}
		others := info.Mode().Perm()&0o022 != 0
		// In a sticky directory others can't rename what is root's, but
		// they could have been first: only a directory of root's own
		// below it counts.
		if stat.Uid != 0 || (others && (info.Mode()&fs.ModeSticky == 0 || dir == filepath.Dir(path))) {
			return fmt.Errorf("%s lies in %s, which others than root can write to (mode %s): move it to a directory of root's: %w", path, dir, info.Mode(), errdefs.ErrFailedPrecondition)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// dialable tells a socket that nobody listens on from one that hangs.
func dialable(path string, within time.Duration) error {
	conn, err := net.DialTimeout("unix", path, within)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nobody listens on containerd socket %s: start containerd again: %w", path, errdefs.ErrUnavailable)
	}
	if err != nil {
		return fmt.Errorf("connect to containerd socket %s: %w: %w", path, err, errdefs.ErrUnavailable)
	}
	return conn.Close()
}

// ListenerPID is the process that listens on the socket, as this process sees it;
// 0 when it is in a namespace that can't be seen from here.
func ListenerPID(path string) int {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// sharesPIDs says whether the daemon sees our processes by the same numbers.
func sharesPIDs(pid int) bool {
	if pid == 0 {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	return err == nil && ours == theirs
}
