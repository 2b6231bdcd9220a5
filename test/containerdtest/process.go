package containerdtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is one line of the process table.
type process struct {
	pid, parent int
	start       string // clock ticks since boot: tells a pid from its next owner
	args        []string
}

func (p process) String() string {
	return fmt.Sprintf("%d %s", p.pid, strings.Join(p.args, " "))
}

// processes reads the process table. What ends meanwhile is left out.
func processes() map[int]process {
	table := map[int]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			table[pid] = p
		}
	}
	return table
}

func readProcess(pid int) (process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, false
	}
	// The command in parentheses may hold anything: count from its end.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return process{}, false
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, false
	}
	return process{
		pid: pid, parent: parent, start: fields[19],
		args: strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00"),
	}, true
}

// servants are the daemon, shims and runtimes whose arguments lie below one of
// the directories, and everything that they have started.
func servants(dirs ...string) []process {
	table := processes()
	var found []process
	for _, p := range table {
		if isServant(p, dirs) || hasAncestor(table, p, func(ancestor process) bool { return isServant(ancestor, dirs) }) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b process) int { return a.pid - b.pid })
	return found
}

// Servants are the pids of everything that the daemon runs: shims, runtimes, and
// what is in their containers. Runtimes are known by the directories that their
// arguments name.
func (d *Daemon) Servants(dirs ...string) []int {
	var pids []int
	for _, p := range servants(append(dirs, d.Dir)...) {
		if p.pid != d.Pid() {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func isServant(p process, dirs []string) bool {
	name := filepath.Base(p.args[0])
	if !strings.HasPrefix(name, "containerd") && !strings.HasPrefix(name, "runc") && !strings.HasPrefix(name, "runsc") {
		return false
	}
	return slices.ContainsFunc(p.args[1:], func(arg string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.Contains(arg, dir+"/") })
	})
}

func hasAncestor(table map[int]process, p process, match func(process) bool) bool {
	for range len(table) {
		parent, ok := table[p.parent]
		if !ok {
			return false
		}
		if match(parent) {
			return true
		}
		p = parent
	}
	return false
}

// cgroupsOf are the cgroup directories that a process is in.
func cgroupsOf(pid int) []string {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil
	}
	var paths []string
	for line := range strings.Lines(string(data)) {
		// hierarchy:controllers:path
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && parts[2] != "/" {
			paths = append(paths, parts[2])
		}
	}
	return paths
}

// cgroupDirs are the directories of one cgroup path that exist: one a
// hierarchy, or one in all with cgroup v2.
func cgroupDirs(path string) []string {
	var dirs []string
	candidates, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, root := range append(candidates, "/sys/fs/cgroup") {
		dir := filepath.Join(root, path)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
