package containerd

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/oci"
	"golang.org/x/sys/unix"
)

// Bounds that no bottle file sets.
const (
	shmBytes        = 64 << 20
	pidsPerProcess  = 4 // threads that a process may have in the middle
	varTmpMinimum   = 64 << 20
	userNamespaceID = uidCount
)

// specInput is what the OCI spec of every bottle is made of, from the plan and what was
// made for it at launch. What it mounts is still to come.
func (b *Backend) specInput(plan *backend.Plan, where places, who user, netns string) (oci.Input, error) {
	detail, err := detailOf(plan)
	if err != nil {
		return oci.Input{}, err
	}
	kernel, err := kernelVersion()
	if err != nil {
		return oci.Input{}, err
	}
	input := oci.Input{
		Runtime:          oci.Runtime(plan.Runtime.Name),
		Hostname:         where.id.Name,
		Args:             []string{backend.InitPath, "init", "--neck", backend.NeckPath + "/neck.sock"},
		Env:              []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		UID:              who.inside,
		GID:              who.inside,
		NetworkNamespace: netns,
		CgroupsPath:      cgroupPath(where.id),
		Limits: oci.Limits{
			MemoryBytes: plan.Limits.MemoryBytes,
			CPUMillis:   plan.Limits.CPUMillis,
			Pids:        plan.Limits.Processes * pidsPerProcess,
			Processes:   uint64(plan.Limits.Processes),
			OpenFiles:   uint64(plan.Limits.OpenFiles),
			TmpBytes:    max(plan.Limits.TmpBytes, varTmpMinimum),
			ShmBytes:    shmBytes,
		},
		HardLimits:              hardLimits(),
		Kernel:                  kernel,
		Architecture:            goruntime.GOARCH,
		Debug:                   plan.Debug,
		SwapAccounting:          swapAccounting(),
		ContainerTypeAnnotation: detail.handle.ContainerType,
	}
	if who.first != 0 {
		input.UserNamespace = &oci.UserNamespace{HostID: who.first, Size: userNamespaceID}
	}
	return input, nil
}

// toWork makes it that of a bottle in which an agent works in that directory of the host.
func (b *Backend) toWork(input *oci.Input, where places, workspace string) {
	input.Cwd = backend.WorkspacePath
	input.Mounts = b.binds(where, workspace)
	input.Sources = []string{where.state, where.run, workspace, b.options.Init}
}

func (b *Backend) binds(where places, workspace string) []oci.Mount {
	list := []oci.Mount{
		{Source: workspace, Destination: backend.WorkspacePath},
		{Source: where.place(backend.PlaceHome), Destination: backend.HomePath},
		{Source: where.place(backend.PlaceClaude), Destination: backend.ClaudePath},
		{Source: where.place(backend.PlaceSSH), Destination: backend.SSHPath},
	}
	return append(list, b.ownBinds(where, slices.Sorted(maps.Keys(etcFiles(where.id, user{}))))...)
}

// ownBinds are what PID 1 needs of the host, and those files of /etc.
func (b *Backend) ownBinds(where places, etc []string) []oci.Mount {
	list := []oci.Mount{
		{Source: where.neck(), Destination: backend.NeckPath, ReadOnly: true},
		{Source: b.options.Init, Destination: backend.InitPath, ReadOnly: true},
	}
	for _, name := range etc {
		list = append(list, oci.Mount{Source: filepath.Join(where.etc(), name), Destination: "/etc/" + name, ReadOnly: true})
	}
	return list
}

func detailOf(plan *backend.Plan) (Detail, error) {
	detail, ok := plan.Detail.(Detail)
	if !ok {
		return Detail{}, fmt.Errorf("launch: the plan was not made by this backend: %w", os.ErrInvalid)
	}
	return detail, nil
}

func kernelVersion() (oci.KernelVersion, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return oci.KernelVersion{}, fmt.Errorf("read kernel version: %w", err)
	}
	var version oci.KernelVersion
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &version.Major, &version.Minor); err != nil {
		return version, fmt.Errorf("read kernel version: %w", err)
	}
	return version, nil
}

// hardLimits are ours, which a daemon on the same host has too: without
// CAP_SYS_RESOURCE a spec that asks for more can't be started.
func hardLimits() map[string]uint64 {
	limits := map[string]uint64{}
	for name, resource := range map[string]int{"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_CORE": unix.RLIMIT_CORE} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(resource, &limit); err == nil {
			limits[name] = limit.Max
		}
	}
	return limits
}
