package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Leftover is something of a bottle that is in none of containerd's books: what
// a shim or a runtime that was killed has left.
type Leftover struct {
	Kind   string // process, mount, cgroup, shim state or runtime state
	Target string // path, or process number
}

// Leftovers looks for what a dead task of the record name, with the bottle's id,
// has left. While the task exists its own processes are not leftovers: call it
// after RemoveTask. An empty name looks only for what bears the id: another
// bottle has the name by now, and its shim would look like ours.
func (c *Client) Leftovers(_ context.Context, name, id string) ([]Leftover, error) {
	var list []Leftover
	if name != "" {
		byName, err := c.leftoversByName(name)
		if err != nil {
			return nil, err
		}
		list = byName
	}
	for _, pattern := range []string{"/sys/fs/cgroup/claude-bottle/" + id, "/sys/fs/cgroup/*/claude-bottle/" + id} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("look for cgroups: %w", err)
		}
		for _, path := range found {
			list = append(list, Leftover{Kind: "cgroup", Target: path})
		}
	}
	return list, nil
}

func (c *Client) leftoversByName(name string) ([]Leftover, error) {
	var list []Leftover
	processes, err := c.Processes(name)
	if err != nil {
		return nil, err
	}
	for _, pid := range processes {
		list = append(list, Leftover{Kind: "process", Target: strconv.Itoa(pid)})
	}
	mounts, err := c.bundleMounts(name)
	if err != nil {
		return nil, err
	}
	for _, path := range mounts {
		list = append(list, Leftover{Kind: "mount", Target: path})
	}
	for _, path := range c.shimFiles(name) {
		list = append(list, Leftover{Kind: "shim state", Target: path})
	}
	for _, row := range candidates {
		// A directory of runc's, files of runsc's.
		for _, pattern := range []string{name, name + "_sandbox:*", "runsc-" + name + ".sock"} {
			found, err := filepath.Glob(filepath.Join(c.options.RuntimeRoot, string(row.policy), c.options.Namespace, pattern))
			if err != nil {
				return nil, fmt.Errorf("look for runtime state: %w", err)
			}
			for _, path := range found {
				list = append(list, Leftover{Kind: "runtime state", Target: path})
			}
		}
	}
	return list, nil
}

// RemoveLeftover removes it. One that is gone is fine.
func (c *Client) RemoveLeftover(ctx context.Context, leftover Leftover) error {
	var err error
	switch leftover.Kind {
	case "process":
		var pid int
		if pid, err = strconv.Atoi(leftover.Target); err == nil {
			err = kill(pid)
		}
	case "mount":
		if err = unix.Unmount(leftover.Target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			err = nil
		}
	case "cgroup":
		err = removeCgroup(ctx, leftover.Target)
	case "runtime state", "shim state":
		err = os.RemoveAll(leftover.Target)
	default:
		err = fmt.Errorf("unknown kind")
	}
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", leftover.Kind, leftover.Target, err)
	}
	return nil
}

func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// cgroupWait bounds the wait for killed processes to leave their cgroup.
const cgroupWait = 10 * time.Second

// removeCgroup kills whatever is still in a bottle's cgroup, and removes it with
// all below it. A process that was killed stays in it until it is reaped.
func removeCgroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, cgroupWait)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := tryRemoveCgroup(path)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func tryRemoveCgroup(path string) error {
	var directories []string
	err := filepath.WalkDir(path, func(below string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			directories = append(directories, below)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, directory := range slices.Backward(directories) {
		inside, err := os.ReadFile(filepath.Join(directory, "cgroup.procs"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return err
		}
		for _, field := range strings.Fields(string(inside)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				if err := kill(pid); err != nil {
					return err
				}
			}
		}
		if err := os.Remove(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Processes are the shims and sandboxes of this very daemon, namespace and name,
// whatever the daemon knows of them. They are told by their arguments: a shim has our
// namespace, our name and our socket, a sandbox our runtime root.
func (c *Client) Processes(name string) ([]int, error) {
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var list []int
	for _, directory := range directories {
		line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if c.isShim(args, name) || c.isSandbox(args, name) {
			if pid, err := strconv.Atoi(filepath.Base(directory)); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list, nil
}

func (c *Client) isShim(args []string, name string) bool {
	return strings.HasPrefix(filepath.Base(args[0]), "containerd-shim-") &&
		follows(args, "-namespace", c.options.Namespace) && follows(args, "-id", name) && follows(args, "-address", c.options.Address)
}

func (c *Client) isSandbox(args []string, name string) bool {
	if !strings.HasPrefix(filepath.Base(args[0]), "runsc") {
		return false
	}
	root := filepath.Join(c.options.RuntimeRoot, "gvisor", c.options.Namespace)
	return (slices.Contains(args, "--root="+root) || follows(args, "--root", root)) && slices.Contains(args, name)
}

// follows says whether value stands behind flag.
func follows(args []string, flag, value string) bool {
	at := slices.Index(args, flag)
	return at >= 0 && at+1 < len(args) && args[at+1] == value
}
