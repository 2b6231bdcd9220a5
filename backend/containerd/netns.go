package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	goruntime "runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopbackAddress is on lo beside 127.0.0.1: with loopback addresses alone,
// glibc's AI_ADDRCONFIG finds no IPv4 and refuses to resolve.
const loopbackAddress = "198.18.0.1/32"

// networkNamespace is a network namespace that holds lo and nothing else. It
// lives as long as the file is open or a process is in it, so that nothing of it
// is left behind by a crash.
type networkNamespace struct {
	file *os.File
	path string // as the daemon is told
}

// newNetworkNamespace makes the namespace. Where the daemon sees our processes
// it is handed over by way of our own descriptor table; else it is bound to
// name, and that mount is the caller's to undo.
func newNetworkNamespace(name string, sharesPIDs bool) (*networkNamespace, error) {
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		// The thread is spoilt for other goroutines: it is never
		// unlocked, and ends with this one.
		goruntime.LockOSThread()
		file, err := unshareNetwork()
		made <- result{file, err}
	}()
	r := <-made
	if r.err != nil {
		return nil, fmt.Errorf("make network namespace: %w", r.err)
	}
	n := &networkNamespace{file: r.file, path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.file.Fd())}
	if sharesPIDs {
		return n, nil
	}
	if err := n.bind(name); err != nil {
		_ = r.file.Close()
		return nil, fmt.Errorf("bind network namespace: %w", err)
	}
	return n, nil
}

func (n *networkNamespace) bind(name string) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o400)
	if err != nil {
		return err
	}
	_ = file.Close()
	if err := unix.Mount(n.path, name, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(name)
		return err
	}
	n.path = name
	return nil
}

func (n *networkNamespace) close() {
	if n != nil {
		_ = n.file.Close()
	}
}

// unbindNetworkNamespace undoes bind; nothing there is fine.
func unbindNetworkNamespace(name string) error {
	err := unix.Unmount(name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", name, err)
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func unshareNetwork() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("set lo up: %w", err)
	}
	address, err := netlink.ParseAddr(loopbackAddress)
	if err != nil {
		return nil, err
	}
	if err := netlink.AddrAdd(lo, address); err != nil {
		return nil, fmt.Errorf("add %s: %w", loopbackAddress, err)
	}
	// PID 1 has no capability and listens on 53, 80 and 443.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0); err != nil {
		return nil, fmt.Errorf("open low ports: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		// The kernel may add fallback tunnels (sit0, ip6tnl0); they are
		// down, and without a capability nobody can set them up.
		if link.Attrs().Name != "lo" && link.Attrs().Flags&unix.IFF_UP != 0 {
			return nil, fmt.Errorf("interface %s is up in a new namespace", link.Attrs().Name)
		}
	}
	return os.Open("/proc/thread-self/ns/net")
}
