package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// What a bottle gets whose file says nothing, and the least and most of each.
const (
	defaultMemory    = 4 << 30
	minMemory        = 192 << 20 // what `claude -p` was seen to need
	defaultCPUMillis = 2000
	minCPUMillis     = 100
	defaultProcesses = 1024
	minProcesses     = 64
	maxProcesses     = 1 << 20
	defaultOpenFiles = 16384
	minOpenFiles     = 256
	maxOpenFiles     = 1 << 20
	defaultTmp       = 1 << 30
	minTmp           = 1 << 20
)

// Limits resolves what a bottle file says about resources. A value that can't
// be is an InvalidArgument error that names its key.
func Limits(resources backend.Resources) (backend.Limits, error) {
	limits := backend.Limits{CPUMillis: defaultCPUMillis}
	var err error
	if limits.MemoryBytes, err = size("memory", resources.Memory, defaultMemory, minMemory); err != nil {
		return limits, err
	}
	if limits.TmpBytes, err = size("tmp", resources.Tmp, defaultTmp, minTmp); err != nil {
		return limits, err
	}
	if limits.Processes, err = count("processes", resources.Processes, defaultProcesses, minProcesses, maxProcesses); err != nil {
		return limits, err
	}
	if limits.OpenFiles, err = count("openFiles", resources.OpenFiles, defaultOpenFiles, minOpenFiles, maxOpenFiles); err != nil {
		return limits, err
	}
	if resources.CPUs != "" {
		cores, err := strconv.ParseFloat(resources.CPUs, 64)
		if err != nil || math.IsNaN(cores) || cores*1000 < minCPUMillis || cores > 4096 {
			return limits, fmt.Errorf("resources.cpus: %q: give a number of cores from 0.1 on: %w", resources.CPUs, errdefs.ErrInvalidArgument)
		}
		limits.CPUMillis = int64(math.Round(cores * 1000))
	}
	return limits, nil
}

func size(key, text string, fallback, least int64) (int64, error) {
	if text == "" {
		return fallback, nil
	}
	bytes, err := ParseSize(text)
	if err != nil {
		return 0, fmt.Errorf("resources.%s: %q: give a size such as 512Mi or 4Gi: %w", key, text, errdefs.ErrInvalidArgument)
	}
	if bytes < least {
		return 0, fmt.Errorf("resources.%s: %q is less than %s: %w", key, text, backend.Bytes(least), errdefs.ErrInvalidArgument)
	}
	return bytes, nil
}

// ParseSize reads a size such as 512Mi or 4Gi, in bytes.
func ParseSize(text string) (int64, error) {
	if strings.HasSuffix(text, "i") { // Gi, as Kubernetes writes what the library knows as GiB
		text += "B"
	}
	return units.RAMInBytes(text)
}

func count(key string, value, fallback, least, most int64) (int64, error) {
	if value == 0 {
		return fallback, nil
	}
	if value < least || value > most {
		return 0, fmt.Errorf("resources.%s: %d is not between %d and %d: %w", key, value, least, most, errdefs.ErrInvalidArgument)
	}
	return value, nil
}
