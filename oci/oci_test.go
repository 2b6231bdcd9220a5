package oci_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/oci"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

const state = "/var/lib/claude-bottle/0a1b2c3d/bottles/genie-abc12"

// plain is a usual bottle.
func plain(runtime oci.Runtime) oci.Input {
	return oci.Input{
		Runtime: runtime, Hostname: "genie",
		Args: []string{"/run/bottle/init", "init"}, Env: []string{"PATH=/usr/bin:/bin"}, Cwd: "/workspace",
		UID: 1000, GID: 1000, UserNamespace: &oci.UserNamespace{HostID: 1 << 29, Size: 65536},
		NetworkNamespace: "/proc/42/fd/7",
		Mounts: []oci.Mount{
			{Source: state + "/workspace", Destination: "/workspace"},
			{Source: "/run/claude-bottle/0a1b2c3d/bottles/genie-abc12/neck", Destination: "/run/bottle/neck", ReadOnly: true},
		},
		Sources:     []string{state, "/run/claude-bottle/0a1b2c3d/bottles/genie-abc12"},
		CgroupsPath: "/claude-bottle/genie-abc12",
		Limits: oci.Limits{
			MemoryBytes: 4 << 30, CPUMillis: 1500, Pids: 4096, Processes: 1024, OpenFiles: 16384, TmpBytes: 1 << 30, ShmBytes: 64 << 20,
		},
		HardLimits: map[string]uint64{"RLIMIT_NOFILE": 4096}, SwapAccounting: true,
		Kernel: oci.KernelVersion{Major: 6, Minor: 1}, Architecture: "amd64",
	}
}

func TestBuildGolden(t *testing.T) {
	noNamespace := plain(oci.Runc)
	noNamespace.UserNamespace, noNamespace.UID, noNamespace.GID = nil, 536871912, 536871912
	otherShim := plain(oci.GVisor)
	otherShim.ContainerTypeAnnotation = true
	debug := plain(oci.Runc)
	debug.Debug = true
	for name, input := range map[string]oci.Input{
		"gvisor": plain(oci.GVisor), "runc": plain(oci.Runc), "runc-without-user-namespace": noNamespace,
		"gvisor-other-shim": otherShim, "runc-debug": debug,
		"gvisor-build": builder(oci.GVisor), "runc-build": builder(oci.Runc),
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := oci.Build(input)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(spec, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestBuildClampsToTheHardLimits(t *testing.T) {
	spec, err := oci.Build(plain(oci.Runc))
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range spec.Process.Rlimits {
		if limit.Type == "RLIMIT_NOFILE" && (limit.Hard != 4096 || limit.Soft != 4096) {
			t.Errorf("RLIMIT_NOFILE is %d/%d, the host allows 4096", limit.Soft, limit.Hard)
		}
	}
}

// TestT4SeccompAllowsNoWayIntoAnotherProcess names the calls that T4 lists.
func TestT4SeccompAllowsNoWayIntoAnotherProcess(t *testing.T) {
	never := []string{"keyctl", "bpf", "userfaultfd", "io_uring_setup", "unshare", "mount", "setns", "open_by_handle_at", "kexec_load"}
	reach := []string{"ptrace", "process_vm_readv", "process_vm_writev"}
	for _, runtime := range []oci.Runtime{oci.GVisor, oci.Runc} {
		for _, debug := range []bool{false, true} {
			input := plain(runtime)
			input.Debug = debug
			spec, err := oci.Build(input)
			if err != nil {
				t.Fatal(err)
			}
			if got := spec.Linux.Seccomp.Architectures; !slices.Equal(got, []specs.Arch{specs.ArchX86_64}) {
				t.Errorf("architectures are %v: the compatible ones are other tables of calls", got)
			}
			for _, name := range never {
				if allowed(spec, name) {
					t.Errorf("%s: %s is allowed", runtime, name)
				}
			}
			for _, name := range reach {
				if allowed(spec, name) != debug {
					t.Errorf("%s, debug %v: %s allowed is %v", runtime, debug, name, allowed(spec, name))
				}
			}
			if !allowed(spec, "futex") || !allowed(spec, "execve") {
				t.Errorf("%s: the profile allows next to nothing", runtime)
			}
		}
	}
}

// allowed says that a call is let through, perhaps not with every argument.
func allowed(spec *specs.Spec, name string) bool {
	profile := spec.Linux.Seccomp
	listed := slices.ContainsFunc(profile.Syscalls, func(call specs.LinuxSyscall) bool { return slices.Contains(call.Names, name) })
	return listed == (profile.DefaultAction == specs.ActErrno)
}

// TestT4_BothRuntimesRefuseTheSameCalls holds the two forms of the profile
// together: one lists what is open, the other what is closed.
func TestT4_BothRuntimesRefuseTheSameCalls(t *testing.T) {
	for _, debug := range []bool{false, true} {
		inputs := map[oci.Runtime]*specs.Spec{}
		for _, runtime := range []oci.Runtime{oci.GVisor, oci.Runc} {
			input := plain(runtime)
			input.Debug = debug
			spec, err := oci.Build(input)
			if err != nil {
				t.Fatal(err)
			}
			inputs[runtime] = spec
		}
		compared := 0
		for _, rule := range seccomp.DefaultProfile().Syscalls {
			foreign := rule.Includes != nil && len(rule.Includes.Arches) > 0 // calls of other machines
			for _, name := range rule.Names {
				compared++
				if runc, gvisor := allowed(inputs[oci.Runc], name), allowed(inputs[oci.GVisor], name); runc != gvisor && !foreign {
					t.Errorf("debug %v: %s is allowed under runc: %v, under gVisor: %v", debug, name, runc, gvisor)
				}
			}
		}
		if compared < 350 {
			t.Errorf("only %d calls were compared", compared)
		}
	}
}

func TestSeccompFollowsTheKernel(t *testing.T) {
	old := plain(oci.Runc)
	old.Kernel = oci.KernelVersion{Major: 4, Minor: 4}
	old.Debug = true // the one rule that asks for a kernel is about ptrace
	spec, err := oci.Build(old)
	if err != nil {
		t.Fatal(err)
	}
	if allowed(spec, "ptrace") {
		t.Error("ptrace is allowed below kernel 4.8, where it goes past seccomp")
	}
}

func TestBuildRefusesBadInput(t *testing.T) {
	for name, change := range map[string]func(*oci.Input){
		"T2 no network namespace":        func(in *oci.Input) { in.NetworkNamespace = "" },
		"T2 relative network namespace":  func(in *oci.Input) { in.NetworkNamespace = "netns" },
		"T3 root":                        func(in *oci.Input) { in.UID = 0 },
		"T3 overflowing uid":             func(in *oci.Input) { in.UID = 1 << 31 },
		"T3 system group":                func(in *oci.Input) { in.GID = 27 },
		"T3 namespace over the host":     func(in *oci.Input) { in.UserNamespace.HostID = 0 },
		"T3 namespace too small":         func(in *oci.Input) { in.UserNamespace.Size = 10 },
		"T8 cwd through proc":            func(in *oci.Input) { in.Cwd = "/proc/self/fd/8" },
		"T8 relative cwd":                func(in *oci.Input) { in.Cwd = "workspace" },
		"T8 cwd that climbs":             func(in *oci.Input) { in.Cwd = "/workspace/../proc" },
		"T8 cwd elsewhere":               func(in *oci.Input) { in.Cwd = "/tmp" },
		"T9 variable in the spec":        func(in *oci.Input) { in.Env = append(in.Env, "LD_PRELOAD=/x") },
		"T11 root bound":                 func(in *oci.Input) { in.Mounts[0].Source = "/" },
		"T11 home bound":                 func(in *oci.Input) { in.Mounts[0].Source = "/root" },
		"T11 containerd's socket bound":  func(in *oci.Input) { in.Mounts[0].Source = "/run/containerd/containerd.sock" },
		"T11 climbing source":            func(in *oci.Input) { in.Mounts[0].Source = state + "/../../../../../etc" },
		"T11 another bottle":             func(in *oci.Input) { in.Mounts[0].Source = state + "x/workspace" },
		"T11 source is the sources root": func(in *oci.Input) { in.Sources = append(in.Sources, "/"); in.Mounts[0].Source = "/etc" },
		"T10 over /proc":                 func(in *oci.Input) { in.Mounts[0].Destination = "/proc/sys" },
		"T10 over /dev":                  func(in *oci.Input) { in.Mounts[0].Destination = "/dev" },
		"T10 over the root":              func(in *oci.Input) { in.Mounts[0].Destination = "/" },
		"T10 twice":                      func(in *oci.Input) { in.Mounts[1].Destination = in.Mounts[0].Destination },
		"no memory limit":                func(in *oci.Input) { in.Limits.MemoryBytes = 0 },
		"no process limit":               func(in *oci.Input) { in.Limits.Processes = 0 },
		"no command":                     func(in *oci.Input) { in.Args = nil },
		"unknown runtime":                func(in *oci.Input) { in.Runtime = "kata" },
		"unknown architecture":           func(in *oci.Input) { in.Architecture = "pdp11" },
		"T47 hostname":                   func(in *oci.Input) { in.Hostname = "a\nb" },
		"zero byte":                      func(in *oci.Input) { in.Args = []string{"a\x00b"} },
	} {
		t.Run(name, func(t *testing.T) {
			input := plain(oci.Runc)
			change(&input)
			spec, err := oci.Build(input)
			if err == nil {
				t.Fatalf("accepted: %+v", spec.Process)
			}
			if !errdefs.IsInvalidArgument(err) && !errdefs.IsPermissionDenied(err) && !errdefs.IsNotImplemented(err) {
				t.Errorf("error of no kind: %v", err)
			}
		})
	}
}

// TestLintFindsEachViolation breaks a good spec in one place at a time: a linter
// that finds nothing would pass every other test.
func TestLintFindsEachViolation(t *testing.T) {
	for name, violate := range violations() {
		t.Run(name, func(t *testing.T) {
			for _, runtime := range []oci.Runtime{oci.GVisor, oci.Runc} {
				input := plain(runtime)
				spec, err := oci.Build(input)
				if err != nil {
					t.Fatal(err)
				}
				violate(spec)
				if err := oci.Lint(spec, runtime, input.Sources); !errdefs.IsPermissionDenied(err) {
					t.Errorf("%s: not found, the linter says %v", runtime, err)
				}
			}
		})
	}
}

func violations() map[string]func(*specs.Spec) {
	return map[string]func(*specs.Spec){
		"T2 host network": func(s *specs.Spec) { s.Linux.Namespaces[5].Path = "" },
		"T2 no pid namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
		},
		"T2 host pid namespace":   func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/pid" },
		"T3 a capability":         func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NET_RAW"} },
		"T3 ambient capability":   func(s *specs.Spec) { s.Process.Capabilities.Ambient = []string{"CAP_CHOWN"} },
		"T3 default capabilities": func(s *specs.Spec) { s.Process.Capabilities = nil },
		"T3 new privileges":       func(s *specs.Spec) { s.Process.NoNewPrivileges = false },
		"T3 root":                 func(s *specs.Spec) { s.Process.User.UID = 0 },
		"T3 user by name":         func(s *specs.Spec) { s.Process.User.Username = "claude" },
		"T3 more groups":          func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} },
		"T3 maps host root":       func(s *specs.Spec) { s.Linux.UIDMappings[0].HostID = 0 },
		"T4 no seccomp":           func(s *specs.Spec) { s.Linux.Seccomp = nil },
		"T4 allow all": func(s *specs.Spec) {
			s.Linux.Seccomp.DefaultAction, s.Linux.Seccomp.Syscalls = specs.ActAllow, nil
		},
		"T4 allow by default": func(s *specs.Spec) {
			s.Linux.Seccomp.DefaultAction = specs.ActAllow
			for i := range s.Linux.Seccomp.Syscalls {
				s.Linux.Seccomp.Syscalls[i].Action = specs.ActAllow
			}
		},
		"T4 more architectures": func(s *specs.Spec) {
			s.Linux.Seccomp.Architectures = append(s.Linux.Seccomp.Architectures, specs.ArchX86)
		},
		"T4 bpf": func(s *specs.Spec) {
			s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"bpf"}, Action: specs.ActAllow})
		},
		"T6 annotation":        func(s *specs.Spec) { s.Annotations["dev.gvisor.spec.rootfs.source"] = "/" },
		"T6 strace":            func(s *specs.Spec) { s.Annotations["dev.gvisor.flag.strace"] = "true" },
		"T6 other value":       func(s *specs.Spec) { s.Annotations["dev.gvisor.flag.host-uds"] = "all" },
		"T8 cwd":               func(s *specs.Spec) { s.Process.Cwd = "/proc/self/fd/8" },
		"T8 cwd beside it":     func(s *specs.Spec) { s.Process.Cwd = "/workspaces" },
		"T9 variable":          func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "ANTHROPIC_API_KEY=x") },
		"T10 hook":             func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/x"}}} },
		"T10 sysctl":           func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "|/x"} },
		"T10 device":           func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kvm"}} },
		"T10 device rule":      func(s *specs.Spec) { s.Linux.Resources.Devices[0].Allow = true },
		"T10 shared mount":     func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" },
		"T10 setuid on a bind": func(s *specs.Spec) { last(s).Options = []string{"rbind", "rprivate", "nodev", "rw"} },
		"T10 spreading bind":   func(s *specs.Spec) { last(s).Options = []string{"rbind", "rshared", "nosuid", "nodev", "rw"} },
		"T11 bind of root":     func(s *specs.Spec) { last(s).Source = "/" },
		"T11 bind of a parent": func(s *specs.Spec) { last(s).Source = "/var/lib/claude-bottle" },
		"T11 climbing bind":    func(s *specs.Spec) { last(s).Source = state + "/../x" },
		"overlay mount":        func(s *specs.Spec) { last(s).Type = "overlay" },
		"T50 no memory limit":  func(s *specs.Spec) { s.Linux.Resources.Memory = nil },
		"T50 no RLIMIT_NPROC":  func(s *specs.Spec) { s.Process.Rlimits = s.Process.Rlimits[:2] },
		"T28 core dumps":       func(s *specs.Spec) { s.Process.Rlimits[0].Hard = 1 << 30 },
		"T51 endless tmpfs": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/big", Type: "tmpfs", Options: []string{"nosuid", "nodev"}})
		},
		"other version": func(s *specs.Spec) { s.Version = "1.3.0" },
		"other root":    func(s *specs.Spec) { s.Root.Path = "/" },
		"terminal":      func(s *specs.Spec) { s.Process.Terminal = true },
		"raw cgroup":    func(s *specs.Spec) { s.Linux.Resources.Unified = map[string]string{"memory.max": "max"} },
		"OOM before us": func(s *specs.Spec) { score := -999; s.Process.OOMScoreAdj = &score },
	}
}

func last(s *specs.Spec) *specs.Mount { return &s.Mounts[len(s.Mounts)-1] }

// checkBuild wants an input either refused or made into a spec that holds every
// promise. It is what the fuzz target and the fixed run of 100,000 share.
func checkBuild(t *testing.T, input oci.Input) (built bool) {
	t.Helper()
	spec, err := oci.Build(input)
	if err != nil {
		if errdefs.IsPermissionDenied(err) && strings.Contains(err.Error(), "check own spec") && len(input.Env) == 0 && strings.HasPrefix(input.Cwd+"/", "/workspace/") {
			t.Fatalf("Build wrote what Lint refuses: %v\n%+v", err, input)
		}
		return false
	}
	if err := oci.Lint(spec, input.Runtime, input.Sources); err != nil {
		t.Fatalf("%v\n%+v", err, input)
	}
	for _, mount := range spec.Mounts {
		if mount.Type == "bind" && !strings.HasPrefix(mount.Source, "/var/lib/claude-bottle/") {
			t.Fatalf("T11: %s is bound\n%+v", mount.Source, input)
		}
	}
	if spec.Process.User.UID < 1000 || spec.Process.Capabilities == nil || len(spec.Process.Capabilities.Bounding) != 0 {
		t.Fatalf("T3: %+v", spec.Process)
	}
	return true
}

func fuzzInput(seed []byte) oci.Input {
	source := byteSource{seed, 0}
	words := []string{"", "/", "/workspace", "/workspace/a", "/proc", "/proc/1/root", "/dev/shm", "/etc/passwd", "..", "a\x00b", "\x1b[2J", "x=y", "PATH=/bin", "genie", "G_", strings.Repeat("a", 300), state, state + "/workspace", state + "/../x", "/run", "/sys/fs/cgroup", "/claude-bottle/x", "/home/claude", "/tmp"}
	word := func() string { return words[source.number()%len(words)] }
	input := oci.Input{
		Runtime:  []oci.Runtime{oci.GVisor, oci.Runc, "kata"}[source.number()%8%3],
		Hostname: []string{"genie", word()}[source.number()%4%2], Args: []string{word()}, Cwd: []string{"/workspace", word()}[source.number()%4%2],
		UID: source.id(), GID: source.id(), NetworkNamespace: []string{"/proc/1/fd/3", word()}[source.number()%4%2],
		Sources: []string{state}, CgroupsPath: []string{"/claude-bottle/x", word()}[source.number()%4%2],
		Limits: oci.Limits{MemoryBytes: int64(source.number()) << 20, CPUMillis: int64(source.number()), Pids: int64(source.number()),
			Processes: uint64(source.number()), OpenFiles: uint64(source.number()), TmpBytes: int64(source.number()), ShmBytes: int64(source.number())},
		Kernel: oci.KernelVersion{Major: uint64(source.number() % 8), Minor: uint64(source.number() % 20)}, Architecture: []string{"amd64", "arm64", "riscv64", "386"}[source.number()%4],
		Debug: source.number()%2 == 0, SwapAccounting: source.number()%2 == 0, ContainerTypeAnnotation: source.number()%2 == 0,
		HardLimits: map[string]uint64{"RLIMIT_NPROC": uint64(source.number())},
	}
	if source.number()%2 == 0 {
		input.UserNamespace = &oci.UserNamespace{HostID: source.id(), Size: source.id()}
	}
	if source.number()%3 == 0 {
		input.Env = []string{word()}
	}
	for range source.number() % 3 {
		input.Mounts = append(input.Mounts, oci.Mount{Source: []string{state + "/workspace", word()}[source.number()%2], Destination: word(), ReadOnly: source.number()%2 == 0})
	}
	return input
}

type byteSource struct {
	data []byte
	at   int
}

func (s *byteSource) number() int {
	if len(s.data) == 0 {
		return 1
	}
	value := int(s.data[s.at%len(s.data)]) + s.at/len(s.data)
	s.at++
	return value
}

func (s *byteSource) id() uint32 {
	return []uint32{0, 27, 999, 1000, 1000, 1000, 65536, 1 << 29, 1<<29 + 1000, 1<<31 - 2, 1 << 31, 1<<32 - 1}[s.number()%12]
}

// TestT10FuzzedInputs is the 100,000 of the issue: none may break a promise.
func TestT10FuzzedInputs(t *testing.T) {
	const rounds = 100_000
	built := 0
	for i := range rounds {
		seed := []byte(fmt.Sprintf("%d/%d/%d", i*2654435761, i, i%97))
		for j := range seed {
			seed[j] = seed[j]*31 + byte(i>>(j%17))
		}
		if checkBuild(t, fuzzInput(seed)) {
			built++
		}
	}
	if built < rounds/200 {
		t.Errorf("only %d of %d inputs became a spec: the fuzz says little", built, rounds)
	}
	t.Logf("%d of %d inputs became a spec", built, rounds)
}

func FuzzBuild(f *testing.F) {
	f.Add([]byte("genie"))
	f.Add([]byte{1, 2, 3, 5, 8, 13})
	f.Fuzz(func(t *testing.T, seed []byte) { checkBuild(t, fuzzInput(seed)) })
}
