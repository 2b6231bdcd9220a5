package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// defaultUser is the entry of the host's file for users who have none of their own.
const defaultUser = "default"

// builtInUser is what a user may take where the host's file says nothing: four bottles as
// they are by default.
func builtInUser() backend.UserLimits {
	no := false
	return backend.UserLimits{Bottles: 4, Memory: "16Gi", CPUs: "8", Processes: 4 * defaultProcesses, Runtimes: []backend.RuntimePolicy{backend.RuntimeGVisor}, Pull: &no}
}

// Quota is what the host's file gives to a user.
func Quota(host backend.HostFile, user string) (backend.Quota, error) {
	limits := over(host.Users[defaultUser], builtInUser())
	if user != defaultUser {
		limits = over(host.Users[user], limits)
	}
	return quotaOf(limits)
}

// over are limits with what they don't say taken from others.
func over(limits, others backend.UserLimits) backend.UserLimits {
	limits.Bottles = cmp.Or(limits.Bottles, others.Bottles)
	limits.Memory = cmp.Or(limits.Memory, others.Memory)
	limits.CPUs = cmp.Or(limits.CPUs, others.CPUs)
	limits.Processes = cmp.Or(limits.Processes, others.Processes)
	limits.Pull = cmp.Or(limits.Pull, others.Pull)
	if len(limits.Runtimes) == 0 {
		limits.Runtimes = others.Runtimes
	}
	return limits
}

func quotaOf(limits backend.UserLimits) (backend.Quota, error) {
	quota := backend.Quota{Bottles: limits.Bottles, Pull: limits.Pull != nil && *limits.Pull}
	if limits.Bottles < 0 || limits.Processes < 0 {
		return quota, fmt.Errorf("bottles and processes can't be less than none: %w", errdefs.ErrInvalidArgument)
	}
	resolved, err := Limits(backend.Resources{Memory: limits.Memory, CPUs: limits.CPUs})
	if err != nil {
		return quota, err
	}
	quota.Limits = backend.Limits{MemoryBytes: resolved.MemoryBytes, CPUMillis: resolved.CPUMillis, Processes: limits.Processes}
	for _, runtime := range limits.Runtimes {
		if runtime != backend.RuntimeGVisor && runtime != backend.RuntimeRunc {
			return quota, fmt.Errorf("runtimes: %q: gvisor or runc: %w", runtime, errdefs.ErrInvalidArgument)
		}
		quota.Runtimes = append(quota.Runtimes, string(runtime))
	}
	return quota, nil
}

// checkUsers finds what can't be in the limits of users.
func checkUsers(path string, host backend.HostFile) error {
	for _, name := range slices.Sorted(maps.Keys(host.Users)) {
		if _, err := Quota(host, name); err != nil {
			return fmt.Errorf("%s: users: %s: %w", path, backend.Printable(name), err)
		}
	}
	return nil
}
