package oci

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the version of the runtime spec that is written: every runtime in
// use accepts it.
const Version = "1.0.2"

// cpuPeriod is the scheduler's period in microseconds, the kernel's default.
const cpuPeriod = 100_000

// oomScore makes the kernel end a bottle before the host's own processes.
const oomScore = 500

// Build writes the spec and checks it. Bad input is an InvalidArgument error.
func Build(in Input) (*specs.Spec, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	seccomp, err := seccompProfile(in)
	if err != nil {
		return nil, err
	}
	score := oomScore
	spec := &specs.Spec{
		Version:     Version,
		Hostname:    in.Hostname,
		Root:        &specs.Root{Path: "rootfs"},
		Mounts:      mounts(in),
		Annotations: annotations(in),
		Process: &specs.Process{
			Args:            in.Args,
			Env:             in.Env,
			Cwd:             in.Cwd,
			User:            specs.User{UID: in.UID, GID: in.GID},
			Capabilities:    capabilities(in),
			NoNewPrivileges: true,
			Rlimits:         resourceLimits(in),
			OOMScoreAdj:     &score,
		},
		Linux: &specs.Linux{
			CgroupsPath:       in.CgroupsPath,
			Namespaces:        namespaces(in),
			Resources:         resources(in),
			Seccomp:           seccomp,
			RootfsPropagation: "rprivate",
		},
	}
	if in.UserNamespace != nil {
		mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: in.UserNamespace.HostID, Size: in.UserNamespace.Size}}
		spec.Linux.UIDMappings, spec.Linux.GIDMappings = mapping, mapping
	}
	// gVisor shows no such path of the host, and ignores both lists.
	if in.Runtime == Runc {
		spec.Linux.MaskedPaths = maskedPaths()
		spec.Linux.ReadonlyPaths = readonlyPaths()
	}
	lint := Lint
	if in.Builds {
		lint = LintBuilder
	}
	if err := lint(spec, in.Runtime, in.Sources); err != nil {
		return nil, fmt.Errorf("check own spec: %w", err)
	}
	return spec, nil
}

func namespaces(in Input) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.CgroupNamespace},
		{Type: specs.NetworkNamespace, Path: in.NetworkNamespace},
	}
	if in.UserNamespace != nil {
		list = append(list, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	return list
}

// annotations are privileges under gVisor: this is the whole list, and nothing
// of a manifest or an image adds to it.
func annotations(in Input) map[string]string {
	list := map[string]string{}
	if in.Runtime == GVisor {
		list["dev.gvisor.flag.host-uds"] = "open"    // the neck's socket
		list["dev.gvisor.flag.oci-seccomp"] = "true" // else seccomp is ignored
	}
	if in.Builds && in.Runtime == GVisor {
		// By default gVisor keeps what is written to itself: the layer would be
		// empty.
		list["dev.gvisor.flag.overlay2"] = "none"
	}
	if in.ContainerTypeAnnotation {
		list["io.kubernetes.cri.container-type"] = "sandbox"
	}
	return list
}

func resources(in Input) *specs.LinuxResources {
	memory, quota, period := in.Limits.MemoryBytes, in.Limits.CPUMillis*cpuPeriod/1000, uint64(cpuPeriod)
	list := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: &memory},
		CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period},
	}
	if in.SwapAccounting {
		list.Memory.Swap = &memory // memory and swap together: no swap
	}
	if in.Runtime == Runc {
		pids := in.Limits.Pids
		list.Pids = &specs.LinuxPids{Limit: &pids}
	}
	return list
}

func resourceLimits(in Input) []specs.POSIXRlimit {
	limit := func(name string, want uint64) specs.POSIXRlimit {
		if hard, ok := in.HardLimits[name]; ok {
			want = min(want, hard)
		}
		return specs.POSIXRlimit{Type: name, Soft: want, Hard: want}
	}
	list := []specs.POSIXRlimit{
		limit("RLIMIT_CORE", 0),
		limit("RLIMIT_NOFILE", in.Limits.OpenFiles),
		limit("RLIMIT_NPROC", in.Limits.Processes),
	}
	if in.Builds {
		// A file of nothing but a hole is as long in a layer as it claims to be.
		list = append(list, limit("RLIMIT_FSIZE", in.FileBytes))
	}
	return list
}
