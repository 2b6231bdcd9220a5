package containerdtest

import (
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

const dirPrefix = "containerdtest-"

// makeDir makes the directory of one daemon. Others may pass through it: a
// container in a user namespace has to reach its root file system.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", err
	}
	self, _ := readProcess(os.Getpid())
	return dir, os.WriteFile(filepath.Join(dir, "owner"), []byte(fmt.Sprintf("%d %s", self.pid, self.start)), 0o600)
}

// sweepDead wipes what test processes have left that were killed.
func sweepDead() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		owner, err := os.ReadFile(filepath.Join(dir, "owner"))
		if err != nil {
			continue // being made
		}
		text, start, _ := strings.Cut(string(owner), " ")
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if p, alive := readProcess(pid); !alive || p.start != start {
			_ = wipe(dir, traces{}) // the next one tries again
		}
	}
}

// wipe ends what belongs to dir and removes it, and the traces that its
// containers have left elsewhere.
func wipe(dir string, left traces) error {
	if dir == "" {
		return nil
	}
	cgroups, err := killServants(dir)
	for _, point := range slices.Backward(mountsBelow(dir)) {
		if unmountErr := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); unmountErr != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", point, unmountErr))
		}
	}
	for path := range left.cgroups {
		for _, cgroup := range cgroupDirs(path) {
			err = errors.Join(err, removeCgroup(cgroup))
		}
	}
	for _, path := range cgroups {
		for _, cgroup := range cgroupDirs(path) {
			_ = os.Remove(cgroup) // stays when somebody else is in it
		}
	}
	for path := range left.sockets {
		_ = os.Remove(path)
	}
	for _, path := range left.stateFiles() {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// killServants ends the processes of dir and returns the cgroups that they were
// in, other than those of this process.
func killServants(dir string) (cgroups []string, _ error) {
	own := cgroupsOf(os.Getpid())
	deadline := time.Now().Add(stopTimeout)
	for {
		found := servants(dir)
		if len(found) == 0 {
			return cgroups, nil
		}
		for _, p := range found {
			for _, path := range cgroupsOf(p.pid) {
				if !slices.Contains(own, path) && !slices.Contains(cgroups, path) {
					cgroups = append(cgroups, path)
				}
			}
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		if time.Now().After(deadline) {
			return cgroups, fmt.Errorf("processes of %s do not die: %v", dir, found)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeCgroup removes the cgroup of a container with everything in it. The
// kernel may need a moment until its last process is reaped.
func removeCgroup(dir string) error {
	deadline := time.Now().Add(stopTimeout)
	for {
		children, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
		for _, child := range children {
			if err := removeCgroup(filepath.Dir(child)); err != nil {
				return err
			}
		}
		for _, pid := range pidsOf(dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func pidsOf(cgroup string) []int {
	data, _ := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// mountsBelow lists the mount points below dir, parents before children.
func mountsBelow(dir string) []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		// id parent major:minor root point ...
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Sort(points)
	return points
}
