package oci

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// closedCalls are all calls of Linux that runc's profile leaves out, and that
// may therefore not be made under gVisor either. Those that no kernel has any
// more are not named: the sentry answers what it doesn't know with ENOSYS.
var closedCalls = []string{
	"acct", "add_key", "bpf", "chroot", "clock_adjtime", "clock_settime", "clock_settime64", "delete_module", "fanotify_init", "finit_module",
	"fsconfig", "fsmount", "fsopen", "fspick", "get_mempolicy", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup",
	"ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mbind", "migrate_pages", "mount",
	"mount_setattr", "move_mount", "move_pages", "open_by_handle_at", "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root",
	"process_madvise", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key",
	"set_mempolicy", "set_mempolicy_home_node", "setdomainname", "sethostname", "setns", "settimeofday", "stime", "swapoff", "swapon",
	"syslog", "umount", "umount2", "unshare", "userfaultfd", "vhangup",
}

// sentryProfile is runc's profile turned round: what is not allowed there is
// listed, and the rest is open. The sentry builds its filter anew at each start,
// at a cost that grows with every call that is listed.
//
// Three kinds of call are open whatever their arguments. A C library that does
// not hear ENOSYS from clone3 starts no thread, and gVisor answers each refusal
// with EPERM; which namespaces clone may make is the sentry's to say. It has
// none of the bugs for which socket and personality are narrowed.
func sentryProfile(profile *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	allowed := func(name string) bool {
		return slices.ContainsFunc(profile.Syscalls, func(call specs.LinuxSyscall) bool {
			return call.Action == specs.ActAllow && slices.Contains(call.Names, name)
		})
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: profile.Architectures,
		Syscalls: []specs.LinuxSyscall{{
			Names:  slices.DeleteFunc(slices.Clone(closedCalls), allowed),
			Action: specs.ActErrno,
		}},
	}
}
