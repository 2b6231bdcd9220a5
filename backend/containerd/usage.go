package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var _ backend.Meter = (*Backend)(nil)

// Usage implements backend.Meter.
func (b *Backend) Usage(_ context.Context, id backend.ID) (backend.Usage, error) {
	usage, err := readUsage(cgroupRoot, cgroupVersion(), id)
	if errors.Is(err, fs.ErrNotExist) {
		return usage, fmt.Errorf("cgroup of %s can't be seen: it has ended, or this program sees other cgroups than the runtime: %w", id, errdefs.ErrNotFound)
	}
	return usage, err
}

// readUsage reads the files of the bottle's cgroup, below root.
func readUsage(root string, version int, id backend.ID) (backend.Usage, error) {
	controller := func(names ...string) cgroupFiles {
		for _, name := range names {
			dir := filepath.Join(root, name, cgroupPath(id))
			if _, err := os.Stat(dir); err == nil {
				return cgroupFiles{dir: dir}
			}
		}
		return cgroupFiles{dir: filepath.Join(root, names[0], cgroupPath(id))}
	}
	usage := backend.Usage{Time: time.Now()}
	var cpu, memory, pids cgroupFiles
	var inactive int64
	if version == 2 {
		unified := controller("")
		usage.CPUTime = time.Duration(unified.line("cpu.stat", "usage_usec")) * time.Microsecond
		usage.MemoryBytes, usage.MemoryLimitBytes = unified.number("memory.current"), unified.number("memory.max")
		inactive = unified.line("memory.stat", "inactive_file")
		usage.Tasks = unified.number("pids.current")
		cpu = unified
	} else {
		cpu, memory, pids = controller("cpuacct", "cpu,cpuacct"), controller("memory"), controller("pids")
		usage.CPUTime = time.Duration(cpu.number("cpuacct.usage"))
		usage.MemoryBytes, usage.MemoryLimitBytes = memory.number("memory.usage_in_bytes"), memory.number("memory.limit_in_bytes")
		inactive = memory.line("memory.stat", "total_inactive_file")
		usage.Tasks = pids.number("pids.current")
		if errors.Is(pids.err, fs.ErrNotExist) { // a bottle under gVisor needs no such controller
			usage.Tasks, pids.err = 0, nil
		}
	}
	if inactive < usage.MemoryBytes {
		usage.MemoryBytes -= inactive
	}
	const unlimited = math.MaxInt64 / 2 // what no limit looks like in version 1
	if usage.MemoryLimitBytes > unlimited {
		usage.MemoryLimitBytes = 0
	}
	if err := errors.Join(cpu.err, memory.err, pids.err); err != nil {
		return backend.Usage{}, fmt.Errorf("read cgroup of %s: %w", id, err)
	}
	return usage, nil
}

// cgroupFiles reads numbers from the files of one cgroup, and remembers the first error.
type cgroupFiles struct {
	dir string
	err error
}

// number is all that is in a file; max is 0.
func (c *cgroupFiles) number(name string) int64 { return c.line(name, "") }

// line is the number that stands behind a word, or alone for "".
func (c *cgroupFiles) line(name, word string) int64 {
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.fail(err)
		return 0
	}
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSpace(line)
		if word != "" {
			key, value, _ := strings.Cut(text, " ")
			if key != word {
				continue
			}
			text = value
		}
		if text == "max" {
			return 0
		}
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			c.fail(fmt.Errorf("%s says %s: %w", name, backend.Printable(text), errdefs.ErrDataLoss))
		}
		return number
	}
	return 0 // a kernel without that line
}

func (c *cgroupFiles) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
