package main

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw is one system call with its arguments.
type raw struct {
	name string
	call uintptr
	args [6]uintptr
}

func text(s string) uintptr {
	pointer, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return uintptr(unsafe.Pointer(pointer)) //nolint:gosec // an attack has no manners
}

// attempts are the calls; at is memory for what they read and write.
func attempts(at uintptr) []raw { return append(onFiles(at), onProcesses(at)...) }

func onFiles(at uintptr) []raw {
	return []raw{
		{"keyctl", unix.SYS_KEYCTL, [6]uintptr{0, ^uintptr(2), 1}},
		{"add_key", unix.SYS_ADD_KEY, [6]uintptr{text("user"), text("x"), at, 1, ^uintptr(2)}},
		{"bpf", unix.SYS_BPF, [6]uintptr{0, at, 72}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [6]uintptr{1}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [6]uintptr{1, at}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [6]uintptr{at, 0, ^uintptr(0), ^uintptr(0)}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [6]uintptr{3, at, 0}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, [6]uintptr{0, 0, 0, 0}},
		{"init_module", unix.SYS_INIT_MODULE, [6]uintptr{at, 4096, text("")}},
		{"delete_module", unix.SYS_DELETE_MODULE, [6]uintptr{text("x"), 0}},
		{"mount tmpfs", unix.SYS_MOUNT, [6]uintptr{text("none"), text("/tmp"), text("tmpfs"), 0, 0}},
		{"mount bind", unix.SYS_MOUNT, [6]uintptr{text("/"), text("/tmp"), 0, unix.MS_BIND}},
		{"umount", unix.SYS_UMOUNT2, [6]uintptr{text("/workspace"), unix.MNT_DETACH}},
		{"fsopen", unix.SYS_FSOPEN, [6]uintptr{text("tmpfs"), 0}},
		{"open_tree", unix.SYS_OPEN_TREE, [6]uintptr{^uintptr(99), text("/"), 1}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, [6]uintptr{text("/tmp"), text("/tmp")}},
	}
}

func onProcesses(at uintptr) []raw {
	return []raw{
		{"chroot", unix.SYS_CHROOT, [6]uintptr{text("/tmp")}},
		{"unshare user", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWUSER}},
		{"unshare mount", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWNS}},
		{"unshare net", unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_NEWNET}},
		{"setns", unix.SYS_SETNS, [6]uintptr{0, 0}},
		{"setuid 0", unix.SYS_SETUID, [6]uintptr{0}},
		{"setgid 0", unix.SYS_SETGID, [6]uintptr{0}},
		{"setgroups", unix.SYS_SETGROUPS, [6]uintptr{1, at}},
		{"ptrace init", unix.SYS_PTRACE, [6]uintptr{unix.PTRACE_SEIZE, 1, 0, 0}},
		{"process_vm_readv init", unix.SYS_PROCESS_VM_READV, [6]uintptr{1, at, 1, at, 1, 0}},
		{"kill init by pidfd", unix.SYS_PIDFD_OPEN, [6]uintptr{1 << 30}},
		{"sethostname", unix.SYS_SETHOSTNAME, [6]uintptr{text("x"), 1}},
		{"settimeofday", unix.SYS_SETTIMEOFDAY, [6]uintptr{at, 0}},
		{"reboot", unix.SYS_REBOOT, [6]uintptr{0xfee1dead, 672274793, 0}},
		{"swapon", unix.SYS_SWAPON, [6]uintptr{text("/tmp/x"), 0}},
		{"quotactl", unix.SYS_QUOTACTL, [6]uintptr{0x800002, text("/"), 0, at}},
		{"acct", unix.SYS_ACCT, [6]uintptr{text("/tmp/x")}},
		{"syslog clear", unix.SYS_SYSLOG, [6]uintptr{5, 0, 0}},
		{"socket packet", unix.SYS_SOCKET, [6]uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
		{"socket raw", unix.SYS_SOCKET, [6]uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}},
		{"socket raw 6", unix.SYS_SOCKET, [6]uintptr{unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6}},
		{"socket alg", unix.SYS_SOCKET, [6]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}},
		{"socket vsock", unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM, 0}},
	}
}

// calls tries what no program in a bottle needs of a kernel.
func calls([]string) {
	space := make([]byte, 4096)
	at := uintptr(unsafe.Pointer(&space[0])) //nolint:gosec // as above
	for _, try := range append(attempts(at), ofMachine()...) {
		_, _, errno := syscall.RawSyscall6(try.call, try.args[0], try.args[1], try.args[2], try.args[3], try.args[4], try.args[5])
		if errno == 0 {
			report(try.name, nil)
			continue
		}
		report(try.name, errno)
	}
	for name, number := range map[string]int{"disk": 0x800, "memory": 0x101} {
		path := "/tmp/" + name
		mode := uint32(unix.S_IFCHR | 0o600)
		if name == "disk" {
			mode = unix.S_IFBLK | 0o600
		}
		// gVisor lets everybody make the node, and nobody open it.
		err := unix.Mknod(path, mode, number)
		if err == nil {
			var fd int
			if fd, err = unix.Open(path, unix.O_RDWR, 0); err == nil {
				_ = unix.Close(fd)
			}
		}
		report("device "+name, err)
	}
	// What refuses it may kill that one thread, and the others wait for it.
	command := exec.Command("/proc/self/exe", "compat")
	timer := time.AfterFunc(compatBound, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	output, err := command.Output()
	if err == nil && len(output) > 0 {
		report("compat getpid", nil)
	} else {
		report("compat getpid", errors.New("no answer"))
	}
}
