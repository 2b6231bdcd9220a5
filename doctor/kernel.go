package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	aboutKernel  = subject{"kernel", "kernel"}
	aboutOverlay = subject{"overlay", "overlay file system"}
	aboutCgroups = subject{"cgroups", "cgroups"}
	aboutUsers   = subject{"user-namespaces", "user namespaces"}
)

// kernelFacts are what the kernel says of itself.
type kernelFacts struct {
	release, machine string
	major, minor     int
	page             int // bytes
	err              error
}

// gvisorPage is the one size of pages that gVisor takes. arm64 has kernels with larger ones.
const gvisorPage = 4096

func gatherKernel() kernelFacts {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return kernelFacts{err: err}
	}
	facts := kernelFacts{release: unix.ByteSliceToString(name.Release[:]), machine: unix.ByteSliceToString(name.Machine[:]), page: os.Getpagesize()}
	_, facts.err = fmt.Sscanf(facts.release, "%d.%d", &facts.major, &facts.minor)
	return facts
}

func judgeKernel(f kernelFacts) Check {
	older := func(major, minor int) bool { return f.major < major || f.major == major && f.minor < minor }
	switch {
	case f.err != nil:
		return aboutKernel.unknown("", "its version can't be read: %v", f.err)
	case older(4, 14):
		return aboutKernel.missing("boot a newer one: gVisor needs Linux 4.14", "Linux %s (%s)", f.release, f.machine)
	case f.page != gvisorPage:
		return aboutKernel.missing("boot one with pages of 4 KiB (on a Raspberry Pi 5 kernel=kernel8.img in config.txt): gVisor takes no others; until then only --runtime runc, the weaker one, starts bottles",
			"Linux %s (%s) has pages of %d KiB", f.release, f.machine, f.page>>10)
	case older(5, 19):
		return aboutKernel.warning("boot Linux 5.19 or newer if you use containerd 2: it mounts images with mapped ids", "Linux %s (%s)", f.release, f.machine)
	default:
		return aboutKernel.ok("Linux %s (%s)", f.release, f.machine)
	}
}

// gatherFileSystems lists those that the kernel knows just now.
func gatherFileSystems() (list []string, err error) {
	data, err := os.ReadFile("/proc/filesystems")
	return strings.Fields(string(data)), err
}

func judgeOverlay(fileSystems []string, err error) Check {
	switch {
	case err != nil:
		return aboutOverlay.unknown("", "/proc/filesystems can't be read: %v", err)
	case slices.Contains(fileSystems, "overlay"):
		return aboutOverlay.ok("known to the kernel")
	default:
		return aboutOverlay.warning("modprobe overlay, or doctor --fix; the first mount does that, too, where the module is installed", "not known to the kernel just now")
	}
}

// cgroupFacts are how groups of processes can be limited here.
type cgroupFacts struct {
	version     int
	controllers []string
	readOnly    bool
	// shared is set for version 2 when controllers can't be handed on, because
	// processes live in the group that is the root here.
	shared bool
	swap   bool
	err    error
}

const cgroupRoot = "/sys/fs/cgroup"

// limiting are the controllers that the limits of bottles need.
func limiting() []string { return []string{"cpu", "memory", "pids"} }

func gatherCgroups(root string) cgroupFacts {
	facts := cgroupFacts{version: 1}
	var system unix.Statfs_t
	if facts.err = unix.Statfs(root, &system); facts.err != nil {
		return facts
	}
	if system.Type != unix.CGROUP2_SUPER_MAGIC {
		for _, name := range limiting() {
			if facts.err = unix.Statfs(filepath.Join(root, name), &system); facts.err != nil {
				if errors.Is(facts.err, unix.ENOENT) {
					facts.err = nil
					continue
				}
				return facts
			}
			facts.controllers = append(facts.controllers, name)
			facts.readOnly = facts.readOnly || system.Flags&unix.ST_RDONLY != 0
		}
		_, err := os.Stat(filepath.Join(root, "memory", "memory.memsw.limit_in_bytes"))
		facts.swap = err == nil
		return facts
	}
	facts.readOnly = system.Flags&unix.ST_RDONLY != 0
	facts.unified(root)
	return facts
}

// unified reads what the files of version 2 say.
func (f *cgroupFacts) unified(root string) {
	f.version, f.swap = 2, true
	words := func(name string) []string {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && f.err == nil && !errors.Is(err, os.ErrNotExist) {
			f.err = err
		}
		return strings.Fields(string(data))
	}
	f.controllers = words("cgroup.controllers")
	handedOn := words("cgroup.subtree_control")
	// cgroup.type is in every group but the root of the host.
	_, err := os.Stat(filepath.Join(root, "cgroup.type"))
	missing := slices.ContainsFunc(limiting(), func(name string) bool { return !slices.Contains(handedOn, name) })
	f.shared = err == nil && missing && len(words("cgroup.procs")) > 0
}

func judgeCgroups(f cgroupFacts) Check {
	if f.err != nil {
		return aboutCgroups.unknown("mount the cgroup file systems below "+cgroupRoot, "can't be looked at: %v", f.err)
	}
	var lacking []string
	for _, name := range limiting() {
		if !slices.Contains(f.controllers, name) {
			lacking = append(lacking, name)
		}
	}
	version := "version " + strconv.Itoa(f.version)
	switch {
	case slices.Contains(lacking, "cpu") || slices.Contains(lacking, "memory"):
		return aboutCgroups.missing("enable them in the kernel, or delegate them to this container: a bottle's limits can't hold",
			"%s, without %s", version, strings.Join(lacking, ", "))
	case f.readOnly:
		return aboutCgroups.warning("mount "+cgroupRoot+" for reading and writing, unless containerd has a view of its own", "%s, for reading only", version)
	case f.shared:
		return aboutCgroups.warning("move the processes of this container into a cgroup below its own, as systemd does: until then no controller can be handed on",
			"%s, not delegated: processes live in the root of this cgroup namespace", version)
	case len(lacking) > 0:
		return aboutCgroups.warning("enable it in the kernel: bottles on runc need it", "%s, without %s", version, strings.Join(lacking, ", "))
	}
	found := version + ": " + strings.Join(limiting(), ", ")
	if !f.swap {
		found += "; swap can't be limited"
	}
	return aboutCgroups.ok("%s", found)
}

// userFacts are whether a user namespace can be made.
type userFacts struct {
	most int // of /proc/sys/user/max_user_namespaces; -1 when unknown
	root bool
	err  error // of making one
}

// gatherUsers makes one, for a program that says its version and ends.
func gatherUsers(ctx context.Context, executable string) userFacts {
	facts := userFacts{most: -1, root: os.Geteuid() == 0}
	if data, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil {
		if number, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			facts.most = number
		}
	}
	command := exec.CommandContext(ctx, executable, "version") //nolint:gosec // ourselves
	command.Env, command.Dir = []string{}, "/"
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	facts.err = command.Run()
	return facts
}

func judgeUsers(f userFacts) Check {
	const why = "bottles on containerd 2 run in one, and gVisor may need one"
	switch {
	case f.most == 0:
		return aboutUsers.missing("sysctl user.max_user_namespaces=10000 (and in /etc/sysctl.d): "+why, "switched off: user.max_user_namespaces is 0")
	case f.err != nil && !f.root:
		return aboutUsers.unknown("run doctor as root", "can't be tried without root: %v", f.err)
	case errors.Is(f.err, unix.ENOSPC):
		return aboutUsers.missing("raise user.max_user_namespaces: "+why, "all of them are in use (at most %d)", f.most)
	case f.err != nil:
		return aboutUsers.missing("allow them in the kernel (CONFIG_USER_NS), AppArmor or the seccomp profile of this container: "+why, "one can't be made: %v", f.err)
	case f.most < 0:
		return aboutUsers.ok("one was made")
	default:
		return aboutUsers.ok("one was made; %d are allowed", f.most)
	}
}
