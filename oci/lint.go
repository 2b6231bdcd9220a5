package oci

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Lint checks a spec against what every bottle promises, whoever wrote it. It
// shares no table with Build, so that a slip there is found here. Every
// violation is named; they are of the kind PermissionDenied.
func Lint(spec *specs.Spec, runtime Runtime, sources []string) error {
	l := linter{runtime: runtime, sources: sources}
	return l.lint(spec)
}

type linter struct {
	runtime Runtime
	sources []string
	// builder says that an image is built in the bottle.
	builder bool
	found   []error
}

func (l *linter) lint(spec *specs.Spec) error {
	l.want(spec.Version == "1.0.2", "version %q is not 1.0.2", spec.Version)
	l.want(spec.Hooks == nil, "hooks are set")                                           //nolint:staticcheck // deprecated, and dangerous
	l.want(spec.Root != nil && spec.Root.Path == "rootfs", "root is not the snapshot's") // containerd resolves it in the bundle
	l.want(spec.Windows == nil && spec.VM == nil && spec.Solaris == nil && spec.ZOS == nil && spec.FreeBSD == nil, "another system's section is set")
	l.annotations(spec.Annotations)
	l.process(spec.Process)
	l.mounts(spec.Mounts)
	if spec.Linux == nil {
		l.want(false, "the Linux section is missing")
	} else {
		l.linux(spec.Linux)
		l.namespaces(spec.Linux)
		if l.builder {
			l.builderUsers(spec.Linux)
		}
		l.resources(spec.Linux.Resources)
		l.seccomp(spec.Linux.Seccomp)
	}
	return errors.Join(l.found...)
}

func (l *linter) want(ok bool, format string, args ...any) {
	if !ok {
		l.found = append(l.found, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrPermissionDenied))
	}
}

func (l *linter) annotations(list map[string]string) {
	for key, value := range list {
		switch key {
		case "dev.gvisor.flag.host-uds":
			l.want(value == "open" && l.runtime == "gvisor", "annotation %s=%s", key, value)
		case "dev.gvisor.flag.overlay2":
			l.want(value == "none" && l.builder && l.runtime == "gvisor", "annotation %s=%s", key, value)
		case "dev.gvisor.flag.oci-seccomp":
			l.want(value == "true", "annotation %s=%s", key, value)
		case "io.kubernetes.cri.container-type":
			l.want(value == "sandbox", "annotation %s=%s", key, value)
		default:
			l.want(false, "annotation %s is not one of ours", key)
		}
	}
	l.want(l.runtime != "gvisor" || list["dev.gvisor.flag.oci-seccomp"] == "true", "gVisor would ignore the seccomp profile")
}

func (l *linter) process(process *specs.Process) {
	if process == nil {
		l.want(false, "the process is missing")
		return
	}
	if l.builder {
		l.builderProcess(process)
	} else {
		l.agentProcess(process)
	}
	l.want(process.NoNewPrivileges, "new privileges are allowed")
	l.want(!process.Terminal, "the runtime's terminal is asked for")
	l.want(process.User.Username == "" && len(process.User.AdditionalGids) == 0, "user is more than numbers")
	l.want(!strings.Contains(process.Cwd, ".."), "working directory %q", process.Cwd)
	l.want(process.ApparmorProfile == "" && process.SelinuxLabel == "", "a security label of the host is set")
	l.want(process.OOMScoreAdj != nil && *process.OOMScoreAdj >= 0, "the bottle would outlive the host's processes")
	for _, name := range []string{"RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE"} {
		l.want(slices.ContainsFunc(process.Rlimits, func(limit specs.POSIXRlimit) bool { return limit.Type == name }), "%s is missing", name)
	}
	for _, limit := range process.Rlimits {
		l.want(limit.Soft <= limit.Hard, "%s is above its hard limit", limit.Type)
		l.want(limit.Type != "RLIMIT_CORE" || limit.Hard == 0, "core dumps are allowed")
	}
	for _, variable := range process.Env {
		name, _, _ := strings.Cut(variable, "=")
		l.want(name == "PATH", "variable %s stands in the spec", name)
	}
}

// agentProcess checks the process of a bottle that an agent works in.
func (l *linter) agentProcess(process *specs.Process) {
	caps := process.Capabilities
	if caps == nil {
		l.want(false, "capabilities are the runtime's default")
	} else {
		count := len(caps.Bounding) + len(caps.Effective) + len(caps.Inheritable) + len(caps.Permitted) + len(caps.Ambient)
		l.want(count == 0, "%d capabilities are set", count)
	}
	l.want(process.User.UID >= 1000 && process.User.UID < 1<<31-1, "uid %d", process.User.UID)
	l.want(process.User.GID >= 1000 && process.User.GID < 1<<31-1, "gid %d", process.User.GID)
	l.want(process.Cwd == "/workspace" || strings.HasPrefix(process.Cwd, "/workspace/"), "working directory %q", process.Cwd)
}

// mountTypes are those that both runtimes know: gVisor drops others in silence.
var mountTypes = []string{"bind", "tmpfs", "proc", "sysfs", "devpts", "mqueue"}

func (l *linter) mounts(list []specs.Mount) {
	for _, mount := range list {
		has := func(option string) bool { return slices.Contains(mount.Options, option) }
		l.want(slices.Contains(mountTypes, mount.Type), "mount type %q at %s", mount.Type, mount.Destination)
		l.want(strings.HasPrefix(mount.Destination, "/") && mount.Destination != "/" && !strings.Contains(mount.Destination, ".."), "mount at %q", mount.Destination)
		l.want(has("nosuid"), "setuid programs at %s", mount.Destination)
		l.want(has("nodev") || mount.Destination == "/dev" || mount.Destination == "/dev/pts", "devices at %s", mount.Destination)
		l.want(len(mount.UIDMappings) == 0 && len(mount.GIDMappings) == 0, "ids mapped at %s", mount.Destination)
		switch mount.Type {
		case "bind":
			l.bind(mount)
		case "tmpfs":
			l.want(slices.ContainsFunc(mount.Options, func(option string) bool { return strings.HasPrefix(option, "size=") }), "no size at %s", mount.Destination)
		case "sysfs":
			l.want(has("ro"), "writable %s", mount.Destination)
		}
	}
}

func (l *linter) bind(mount specs.Mount) {
	l.want(slices.Contains(mount.Options, "rprivate"), "mounts spread from %s", mount.Destination)
	for _, special := range []string{"/proc", "/sys", "/dev"} {
		l.want(mount.Destination != special && !strings.HasPrefix(mount.Destination, special+"/"), "bind over %s", mount.Destination)
	}
	inside := slices.ContainsFunc(l.sources, func(root string) bool {
		return len(root) > 1 && (mount.Source == root || strings.HasPrefix(mount.Source, root+"/"))
	})
	l.want(inside && !strings.Contains(mount.Source, ".."), "%s of the host is bound", mount.Source)
}

func (l *linter) linux(linux *specs.Linux) {
	l.want(len(linux.Sysctl) == 0, "sysctls are set")
	l.want(len(linux.Devices) == 0, "devices of the host are passed")
	l.want(len(linux.NetDevices) == 0, "network devices of the host are passed")
	l.want(linux.MountLabel == "" && linux.IntelRdt == nil && linux.Personality == nil && len(linux.TimeOffsets) == 0, "an unused field is set")
	l.want(linux.RootfsPropagation == "rprivate" || linux.RootfsPropagation == "private", "mounts spread from the root: %q", linux.RootfsPropagation)
	l.want(len(linux.CgroupsPath) > 1, "cgroup path %q", linux.CgroupsPath)
	if l.runtime == "runc" {
		for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"} {
			l.want(slices.Contains(linux.MaskedPaths, path), "%s is in sight", path)
		}
		for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/irq", "/proc/fs"} {
			l.want(slices.Contains(linux.ReadonlyPaths, path), "%s is writable", path)
		}
	}
}

func (l *linter) namespaces(linux *specs.Linux) {
	paths := map[specs.LinuxNamespaceType]string{}
	for _, namespace := range linux.Namespaces {
		_, twice := paths[namespace.Type]
		l.want(!twice, "namespace %s stands there twice", namespace.Type)
		paths[namespace.Type] = namespace.Path
	}
	for _, kind := range []specs.LinuxNamespaceType{"pid", "ipc", "uts", "mount", "cgroup"} {
		path, ok := paths[kind]
		l.want(ok, "%s namespace of the host is shared", kind)
		l.want(path == "", "%s namespace is %s", kind, path)
	}
	l.want(strings.HasPrefix(paths["network"], "/"), "network namespace is not one that we made")
	_, user := paths["user"]
	l.want(user == (len(linux.UIDMappings) > 0) && user == (len(linux.GIDMappings) > 0), "user namespace and id mappings don't match")
	for _, mapping := range slices.Concat(linux.UIDMappings, linux.GIDMappings) {
		l.want(mapping.HostID >= 1000 && uint64(mapping.HostID)+uint64(mapping.Size) < 1<<31, "ids map to %d of the host", mapping.HostID)
	}
}

func (l *linter) resources(resources *specs.LinuxResources) {
	if resources == nil {
		l.want(false, "no resource is limited")
		return
	}
	l.want(resources.Memory != nil && resources.Memory.Limit != nil && *resources.Memory.Limit > 0, "memory is not limited")
	l.want(resources.CPU != nil && resources.CPU.Quota != nil && *resources.CPU.Quota > 0, "cpu is not limited")
	if l.runtime == "runc" {
		l.want(resources.Pids != nil && resources.Pids.Limit != nil && *resources.Pids.Limit > 0, "pids are not limited")
	} else {
		l.want(resources.Pids == nil, "a pids limit would end the whole sandbox")
	}
	l.want(len(resources.Devices) == 1 && !resources.Devices[0].Allow && resources.Devices[0].Access == "rwm", "devices are allowed")
	l.want(len(resources.Unified) == 0, "raw cgroup settings")
}

func (l *linter) seccomp(profile *specs.LinuxSeccomp) {
	if profile == nil {
		l.want(false, "no seccomp profile")
		return
	}
	l.want(len(profile.Architectures) == 1, "%d architectures are open", len(profile.Architectures))
	l.want(profile.ListenerPath == "", "a seccomp listener is set")
	for _, name := range []string{"bpf", "mount", "umount2", "unshare", "setns", "keyctl", "add_key", "userfaultfd", "io_uring_setup", "kexec_load", "init_module", "open_by_handle_at", "pivot_root", "perf_event_open"} {
		l.want(!callAllowed(profile, name), "system call %s is allowed", name)
	}
	if l.runtime == "runc" {
		l.want(profile.DefaultAction == specs.ActErrno, "system calls are allowed unless listed")
	}
}

// callAllowed says that a call is let through with any arguments: by a rule, or
// because no rule refuses it whatever they are.
func callAllowed(profile *specs.LinuxSeccomp, name string) bool {
	refused := profile.DefaultAction == specs.ActErrno
	for _, call := range profile.Syscalls {
		if !slices.Contains(call.Names, name) {
			continue
		}
		if call.Action != specs.ActErrno {
			return true
		}
		refused = refused || len(call.Args) == 0
	}
	return !refused
}
