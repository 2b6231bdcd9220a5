package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupPath is the cgroup of a bottle, below the root of every hierarchy.
func cgroupPath(id backend.ID) string { return "/claude-bottle/" + id.String() }

// cgroupVersion is 2 for a unified hierarchy and 1 for the older ones.
func cgroupVersion() int {
	var stat unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &stat); err == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC {
		return 2
	}
	return 1
}

// swapAccounting says that the memory controller can limit swap.
func swapAccounting() bool {
	if cgroupVersion() == 2 {
		return true // where swap is off, runc leaves it alone
	}
	_, err := os.Stat(filepath.Join(cgroupRoot, "memory", "memory.memsw.limit_in_bytes"))
	return err == nil
}

// checkCgroups names the controllers that a bottle's limits need and that the
// host lacks.
func checkCgroups(runtimeName string) error {
	needed := []string{"cpu", "memory"}
	if runtimeName == string(backend.RuntimeRunc) {
		needed = append(needed, "pids")
	}
	var there []string
	if cgroupVersion() == 2 {
		data, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("read cgroup controllers: %w", err)
		}
		there = strings.Fields(string(data))
	} else {
		for _, name := range needed {
			if info, err := os.Stat(filepath.Join(cgroupRoot, name)); err == nil && info.IsDir() {
				there = append(there, name)
			}
		}
	}
	for _, name := range needed {
		if !slices.Contains(there, name) {
			return fmt.Errorf("cgroup controller %s is missing, so that a bottle's limits can't hold: mount it below %s or enable it in the kernel: %w",
				name, cgroupRoot, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// outOfMemory says whether the kernel has killed a process of the bottle for
// want of memory. Unknown counts as no.
func outOfMemory(id backend.ID) bool {
	files := []string{
		filepath.Join(cgroupRoot, cgroupPath(id), "memory.events"),
		filepath.Join(cgroupRoot, "memory", cgroupPath(id), "memory.oom_control"),
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if count, err := strconv.Atoi(value); key == "oom_kill" && err == nil && count > 0 {
				return true
			}
		}
	}
	return false
}
