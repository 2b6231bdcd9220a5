package oci

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounts lists the kernel's file systems, the memory-backed directories, and
// then what is bound. A runtime mounts them in this order.
func mounts(in Input) []specs.Mount {
	tmpfs := func(destination string, bytes int64, mode string, more ...string) specs.Mount {
		options := append([]string{"nosuid", "nodev", "mode=" + mode, fmt.Sprintf("size=%d", bytes)}, more...)
		return specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=65536"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		tmpfs("/dev/shm", in.Limits.ShmBytes, "1777", "noexec"),
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		sys(in),
		tmpfs("/run", 1<<20, "755", "noexec"),
		tmpfs("/tmp", in.Limits.TmpBytes, "1777"),
		tmpfs("/var/tmp", in.Limits.TmpBytes, "1777"),
	}
	for _, mount := range in.Mounts {
		mode := "rw"
		if mount.ReadOnly {
			mode = "ro"
		}
		list = append(list, specs.Mount{
			Destination: mount.Destination, Type: "bind", Source: mount.Source,
			Options: []string{"rbind", "rprivate", "nosuid", "nodev", mode},
		})
	}
	return list
}

// sys is the kernel's own, unless runc can't mount it: in a user namespace that
// does not own the network namespace the kernel refuses.
func sys(in Input) specs.Mount {
	if in.Runtime == Runc && in.UserNamespace != nil {
		return specs.Mount{Destination: "/sys", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "nodev", "ro", "mode=755", "size=4096"}}
	}
	return specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
}

// maskedPaths and readonlyPaths are what container runtimes hide of the kernel
// by default.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
