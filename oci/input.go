package oci

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// Runtime is the kind of OCI runtime that a spec is for.
type Runtime string

// The runtimes that specs can be written for.
const (
	GVisor Runtime = "gvisor"
	Runc   Runtime = "runc"
)

// Input is all that a spec is made of.
type Input struct {
	Runtime  Runtime
	Hostname string
	// Args, Env and Cwd are of PID 1. Env holds no secret: it is readable
	// in the daemon's database.
	Args []string
	Env  []string
	Cwd  string
	// UID and GID are those of the whole bottle, as seen from inside.
	UID, GID uint32
	// UserNamespace maps the ids; nil shares the host's.
	UserNamespace *UserNamespace
	// NetworkNamespace is the path of a namespace that holds lo alone.
	NetworkNamespace string
	// Mounts are the bound files and directories, and Sources the paths that
	// each of them must be, or lie below.
	Mounts  []Mount
	Sources []string
	// CgroupsPath is where the bottle's cgroup is, from the root of each
	// hierarchy.
	CgroupsPath string
	Limits      Limits
	// HardLimits are the host's hard resource limits by name, such as
	// RLIMIT_NOFILE: nothing above them can be asked for.
	HardLimits map[string]uint64
	// SwapAccounting says that the memory controller counts swap.
	SwapAccounting bool
	Kernel         KernelVersion
	// Architecture is Go's name of the machine's.
	Architecture string
	// Debug gives ptrace and its like back.
	Debug bool
	// ContainerTypeAnnotation is for shims that ask for it.
	ContainerTypeAnnotation bool
	// Builds says that an image is built in this bottle: see builderCapabilities.
	Builds bool
	// FileBytes bounds one file that a build writes.
	FileBytes uint64
}

// UserNamespace maps the ids 0 to Size of the bottle to HostID and up.
type UserNamespace struct{ HostID, Size uint32 }

// Mount binds a path of the host.
type Mount struct {
	Source, Destination string
	ReadOnly            bool
}

// Limits bound what a bottle takes of the host.
type Limits struct {
	MemoryBytes int64
	CPUMillis   int64 // thousandths of a core
	// Pids bounds the processes and threads in the cgroup. Under gVisor it
	// would hit the sandbox itself, and is not used.
	Pids int64
	// Processes and OpenFiles are resource limits of every process.
	Processes, OpenFiles uint64
	TmpBytes, ShmBytes   int64
}

// KernelVersion is the first two numbers of the host's kernel release.
type KernelVersion struct{ Major, Minor uint64 }

func (k KernelVersion) less(other KernelVersion) bool {
	return k.Major < other.Major || k.Major == other.Major && k.Minor < other.Minor
}

// Ids that a bottle may have: none of the system's, and none that overflows. One in
// which an image is built is root to itself, behind gVisor or a user namespace.
const (
	minID = 1000
	maxID = 1<<31 - 2
)

var (
	hostname     = pattern.Lazy(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	variableName = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// validate refuses what no spec can be made of.
func (in Input) validate() error {
	for _, check := range []struct {
		ok    bool
		wrong string
	}{
		{in.Runtime == GVisor || in.Runtime == Runc, fmt.Sprintf("runtime %q is unknown", in.Runtime)},
		{hostname().MatchString(in.Hostname), fmt.Sprintf("hostname %q is not a host name", in.Hostname)},
		{len(in.Args) > 0, "no command"},
		{clean(in.Cwd) && (in.Cwd != "/" || in.Builds) && !strings.HasPrefix(in.Cwd, "/proc"), fmt.Sprintf("working directory %q", in.Cwd)},
		{!in.Builds || in.UserNamespace != nil || in.Runtime == GVisor, "an image is built under gVisor or in a user namespace only"},
		{!in.Builds || in.FileBytes > 0, "the files of a build need a limit"},
		{in.builderID(in.UID) || in.UID >= minID && in.UID <= maxID, fmt.Sprintf("uid %d is not between %d and %d", in.UID, minID, maxID)},
		{in.builderID(in.GID) || in.GID >= minID && in.GID <= maxID, fmt.Sprintf("gid %d is not between %d and %d", in.GID, minID, maxID)},
		{clean(in.NetworkNamespace), fmt.Sprintf("network namespace %q", in.NetworkNamespace)},
		{clean(in.CgroupsPath) && in.CgroupsPath != "/", fmt.Sprintf("cgroup path %q", in.CgroupsPath)},
		{in.Limits.MemoryBytes > 0 && in.Limits.CPUMillis > 0 && in.Limits.Pids > 0, "memory, cpu and pids need limits"},
		{in.Limits.Processes > 0 && in.Limits.OpenFiles > 0, "processes and open files need limits"},
		{in.Limits.TmpBytes > 0 && in.Limits.ShmBytes > 0, "/tmp and /dev/shm need sizes"},
		{in.UserNamespace == nil || in.UserNamespace.valid(in), "user namespace does not map the bottle's ids, or maps the host's own"},
	} {
		if !check.ok {
			return fmt.Errorf("%s: %w", check.wrong, errdefs.ErrInvalidArgument)
		}
	}
	return in.validateLists()
}

func (in Input) builderID(id uint32) bool { return in.Builds && id == 0 }

func (in Input) validateLists() error {
	for _, variable := range in.Env {
		if !variableName().MatchString(variable) || strings.ContainsRune(variable, 0) {
			return fmt.Errorf("environment entry %q: %w", variable, errdefs.ErrInvalidArgument)
		}
	}
	for _, arg := range in.Args {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("argument %q holds a zero byte: %w", arg, errdefs.ErrInvalidArgument)
		}
	}
	var seen []string
	for _, mount := range in.Mounts {
		if !clean(mount.Source) || !below(mount.Source, in.Sources) {
			return fmt.Errorf("mount of %q: only the bottle's own directories can be bound: %w", mount.Source, errdefs.ErrInvalidArgument)
		}
		if !clean(mount.Destination) || !mountable(mount.Destination) || slices.Contains(seen, mount.Destination) {
			return fmt.Errorf("mount at %q: %w", mount.Destination, errdefs.ErrInvalidArgument)
		}
		seen = append(seen, mount.Destination)
	}
	return nil
}

func (u UserNamespace) valid(in Input) bool {
	return u.HostID >= minID && u.Size > in.UID && u.Size > in.GID && uint64(u.HostID)+uint64(u.Size) <= maxID
}

// clean says that a path is absolute and in its shortest form.
func clean(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.ContainsRune(p, 0)
}

// below says that a path is one of the roots or lies in one.
func below(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return clean(root) && root != "/" && (p == root || strings.HasPrefix(p, root+"/"))
	})
}

// mountable keeps binds off what the spec itself mounts.
func mountable(destination string) bool {
	if destination == "/" {
		return false
	}
	return !slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(own string) bool {
		return destination == own || strings.HasPrefix(destination, own+"/")
	})
}
