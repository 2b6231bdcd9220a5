package oci_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// builder is a bottle in which an image is built.
func builder(runtime oci.Runtime) oci.Input {
	input := plain(runtime)
	input.Builds, input.FileBytes = true, 8<<30
	input.UID, input.GID, input.Cwd = 0, 0, "/"
	input.Mounts = input.Mounts[1:]
	return input
}

func TestT3_TheRootOfABuildEndsAtGVisorOrAtItsUserNamespace(t *testing.T) {
	for name, change := range map[string]func(*oci.Input){
		"runc without a user namespace": func(i *oci.Input) { i.Runtime, i.UserNamespace = oci.Runc, nil },
		"no bound of a file":            func(i *oci.Input) { i.FileBytes = 0 },
		"root of a bottle with an agent": func(i *oci.Input) {
			i.Builds = false
		},
	} {
		input := builder(oci.GVisor)
		change(&input)
		if _, err := oci.Build(input); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	alone := builder(oci.GVisor)
	alone.UserNamespace = nil
	if _, err := oci.Build(alone); err != nil {
		t.Errorf("gVisor without a user namespace: %v", err)
	}
}

func TestT6_TheAnnotationOfABuildIsNoOtherBottles(t *testing.T) {
	for _, runtime := range []oci.Runtime{oci.GVisor, oci.Runc} {
		spec, err := oci.Build(builder(runtime))
		if err != nil {
			t.Fatal(err)
		}
		want := map[oci.Runtime]string{oci.GVisor: "none"}[runtime]
		if got := spec.Annotations["dev.gvisor.flag.overlay2"]; got != want {
			t.Errorf("%s: overlay2 is %q", runtime, got)
		}
	}
	spec, err := oci.Build(plain(oci.GVisor))
	if err != nil {
		t.Fatal(err)
	}
	spec.Annotations["dev.gvisor.flag.overlay2"] = "none"
	if err := oci.Lint(spec, oci.GVisor, plain(oci.GVisor).Sources); err == nil || !strings.Contains(err.Error(), "overlay2") {
		t.Errorf("an agent's bottle may have it: %v", err)
	}
}

func TestTheLinterOfABuildFindsWhatIsMoreThanABuildNeeds(t *testing.T) {
	for want, change := range map[string]func(*specs.Spec){
		"capability CAP_SYS_ADMIN": func(s *specs.Spec) {
			s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
		},
		"capabilities pass":   func(s *specs.Spec) { s.Process.Capabilities.Ambient = []string{"CAP_CHOWN"} },
		"is not the bottle's": func(s *specs.Spec) { s.Process.User.UID = 1000 },
		"working directory":   func(s *specs.Spec) { s.Process.Cwd = "/workspace" },
		"new privileges":      func(s *specs.Spec) { s.Process.NoNewPrivileges = false },
		"RLIMIT_FSIZE":        func(s *specs.Spec) { s.Process.Rlimits = s.Process.Rlimits[:3] },
		"root of the bottle is": func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		},
		"of the host is bound": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/home", Destination: "/in", Options: []string{"rprivate", "nosuid", "nodev"}})
		},
		"system call mount is allowed": func(s *specs.Spec) {
			s.Linux.Seccomp.Syscalls[0].Names = append(s.Linux.Seccomp.Syscalls[0].Names, "mount")
		},
	} {
		spec, err := oci.Build(builder(oci.Runc))
		if err != nil {
			t.Fatal(err)
		}
		if err := oci.LintBuilder(spec, oci.Runc, builder(oci.Runc).Sources); err != nil {
			t.Fatal(err)
		}
		change(spec)
		if err := oci.LintBuilder(spec, oci.Runc, builder(oci.Runc).Sources); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v", want, err)
		}
	}
}
