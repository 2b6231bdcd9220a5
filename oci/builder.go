package oci

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// builderCapabilities are what package managers need of root to lay files out as
// they belong to an image: to own, to reach and to mark any file, to become the user
// that a file is for, and to work below another root. None reaches past the files of
// the bottle, and all end at gVisor or the user namespace.
func builderCapabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"}
}

// capabilities are none, but where an image is built.
func capabilities(in Input) *specs.LinuxCapabilities {
	if !in.Builds {
		return &specs.LinuxCapabilities{}
	}
	list := builderCapabilities()
	return &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}
}

// LintBuilder is Lint for a bottle in which an image is built. It differs in the
// user, which is root to itself, in what that root may do, and in what it works on.
func LintBuilder(spec *specs.Spec, runtime Runtime, sources []string) error {
	l := linter{runtime: runtime, sources: sources, builder: true}
	return l.lint(spec)
}

// builderProcess checks what is different of the process that builds an image.
func (l *linter) builderProcess(process *specs.Process) {
	l.want(process.User.UID == 0 && process.User.GID == 0, "user %d:%d is not the bottle's root", process.User.UID, process.User.GID)
	l.want(process.Cwd == "/", "working directory %q", process.Cwd)
	if caps := process.Capabilities; caps == nil {
		l.want(false, "capabilities are the runtime's default")
	} else {
		l.want(len(caps.Inheritable) == 0 && len(caps.Ambient) == 0, "capabilities pass to other users")
		for _, name := range slices.Concat(caps.Bounding, caps.Effective, caps.Permitted) {
			l.want(slices.Contains([]string{
				"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT",
			}, name), "capability %s is set", name)
		}
	}
	l.want(slices.ContainsFunc(process.Rlimits, func(limit specs.POSIXRlimit) bool { return limit.Type == "RLIMIT_FSIZE" }), "RLIMIT_FSIZE is missing")
}

// builderUsers wants root to end at gVisor or at the user namespace.
func (l *linter) builderUsers(linux *specs.Linux) {
	mapped := slices.ContainsFunc(linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	l.want(l.runtime == "gvisor" || mapped, "the root of the bottle is the host's")
}
