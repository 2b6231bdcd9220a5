package oci

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// architectures maps Go's names to the profile's.
var architectures = map[string]specs.Arch{
	"amd64":   specs.ArchX86_64,
	"arm64":   specs.ArchAARCH64,
	"riscv64": specs.ArchRISCV64,
}

// notWithoutDebug are the calls by which one process reaches into another: PID 1
// and its terminals must not be open to the agent.
var notWithoutDebug = []string{"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"}

// seccompProfile resolves Moby's default profile for the input's
// process on its kernel. The library's own resolution asks the
// machine that it runs on, and adds the 32-bit architectures.
func seccompProfile(in Input) (*specs.LinuxSeccomp, error) {
	native, ok := architectures[in.Architecture]
	if !ok {
		return nil, fmt.Errorf("architecture %q has no seccomp profile: %w", in.Architecture, errdefs.ErrNotImplemented)
	}
	profile := seccomp.DefaultProfile()
	resolved := &specs.LinuxSeccomp{
		DefaultAction:   profile.DefaultAction,
		DefaultErrnoRet: profile.DefaultErrnoRet,
		Architectures:   []specs.Arch{native},
	}
	for _, rule := range profile.Syscalls {
		if !applies(rule, in) {
			continue
		}
		call := rule.LinuxSyscall
		if !in.Debug && call.Action == specs.ActAllow {
			call.Names = slices.DeleteFunc(slices.Clone(call.Names), func(name string) bool {
				return slices.Contains(notWithoutDebug, name)
			})
		}
		if len(call.Names) > 0 {
			resolved.Syscalls = append(resolved.Syscalls, call)
		}
	}
	if in.Runtime == GVisor {
		return sentryProfile(resolved), nil
	}
	return resolved, nil
}

// has says that a process of the input has all of these capabilities.
func (in Input) has(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !in.Builds || !slices.Contains(builderCapabilities(), name) })
}

// applies decides a rule's conditions.
func applies(rule *seccomp.Syscall, in Input) bool {
	reached := func(minimum *seccomp.KernelVersion) bool {
		return !in.Kernel.less(KernelVersion{minimum.Kernel, minimum.Major})
	}
	if excluded := rule.Excludes; excluded != nil {
		if slices.Contains(excluded.Arches, in.Architecture) || excluded.MinKernel != nil && reached(excluded.MinKernel) {
			return false
		}
	}
	if included := rule.Includes; included != nil {
		if !in.has(included.Caps) {
			return false
		}
		if len(included.Arches) > 0 && !slices.Contains(included.Arches, in.Architecture) {
			return false
		}
		if included.MinKernel != nil && !reached(included.MinKernel) {
			return false
		}
	}
	return true
}
