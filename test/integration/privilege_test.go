package integration

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// privileges are annotations and labels that some runtime, shim or plugin of
// containerd obeys.
func privileges() []string {
	keys := []string{
		"dev.gvisor.spec.rootfs.source", "dev.gvisor.spec.rootfs.type", "dev.gvisor.spec.rootfs.overlay", "dev.gvisor.spec.rootfs.options",
		"dev.gvisor.spec.mount.x.source", "dev.gvisor.spec.mount.x.type", "dev.gvisor.spec.mount.x.share", "dev.gvisor.spec.mount.x.options",
		"dev.gvisor.internal.nvproxy", "dev.gvisor.internal.tpuproxy",
		"io.containerd.runc.v2.group", "io.containerd.runsc.v1.config", "io.containerd.checkpoint", "io.containerd.image.config.stop-signal",
		"containerd.io/restart.status", "containerd.io/restart.loguri", "containerd.io/gc.root", "containerd.io/snapshot.ref",
		"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id", "org.criu.config", "run.oci.keep_original_groups", "run.oci.hooks.stderr",
		"claude-bottle.dev/wish", "claude-bottle.dev/plan",
	}
	for _, flag := range []string{
		"allow-flag-override", "allow-packet-socket-write", "debug", "debug-log", "directfs", "file-access", "file-access-mounts", "host-fifo", "host-uds",
		"ignore-cgroups", "net-raw", "network", "nvproxy", "oci-seccomp", "overlay2", "platform", "profile", "root", "rootless", "strace", "systemd-cgroup",
		"TESTONLY-unsafe-nonroot", "tpuproxy",
	} {
		keys = append(keys, "dev.gvisor.flag."+flag)
	}
	return keys
}

// refused runs start with those files and wants it to end with the code of the
// contract and these words, before anything is made.
func refused(t *testing.T, u *bottletest.User, kept string, want ...string) {
	t.Helper()
	r := u.Run("start", "tester", "--yes", "--quiet", "--runtime", "runc")
	if r.Code != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") > 4 {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	bottletest.Contains(t, r.Stderr, append(want, "claude-bottle: ")...)
	if left := u.Left(); left != "" {
		t.Errorf("it has made:\n%s", left)
	}
	if now := bottles(u); now != kept {
		t.Errorf("bottles were %q and are %q", kept, now)
	}
}

// bottles lists the directories of all bottles, also of those that are gone.
func bottles(u *bottletest.User) string {
	list, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*"))
	return strings.Join(list, "\n")
}

// TestT6_NoFileReachesTheRuntimePastThePlan: neither an agent nor a bottle file
// has a place for an annotation or a label. Strict parsing takes each of them for
// a mistake and names its line.
func TestT6_NoFileReachesTheRuntimePastThePlan(t *testing.T) {
	u := newUser(t, "2.4")
	agent := "---\nbottle: default\n---\n"
	for _, key := range privileges() {
		for name, test := range map[string]struct{ agent, bottle, want string }{
			"bottle":      {agent, key + `: "true"`, "default.md:3: unknown key " + key},
			"annotations": {agent, "annotations:\n  " + key + `: "true"`, "default.md:3: unknown key annotations"},
			"resources":   {agent, "resources:\n  " + key + `: "true"`, "default.md:4: unknown key " + key},
			"agent":       {"---\n" + key + ": \"true\"\n---\n", "debug: false", "tester.md:2: unknown key " + key},
		} {
			t.Run(name+"/"+key, func(t *testing.T) {
				u.Write("home/.claude-bottle/agents/tester.md", test.agent)
				bottle(u, test.bottle)
				refused(t, u, "", test.want)
			})
		}
	}
	u.Write("home/.claude-bottle/agents/tester.md", agent)
	for _, runtime := range []string{"io.containerd.runsc.v1", "io.containerd.runc.v2", "/bin/sh", "runc --root /", "../runc", "kata", "GVISOR"} {
		t.Run("runtime/"+runtime, func(t *testing.T) {
			bottle(u, fmt.Sprintf("runtime: %q", runtime))
			refused(t, u, "", "default.md: runtime", "auto, gvisor or runc")
		})
	}
}

// TestT6_ARepositoryReachesTheRuntimeEvenLess: the same in a repository's own
// agent file.
func TestT6_ARepositoryReachesTheRuntimeEvenLess(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	for _, key := range append(privileges(), "mounts", "image", "runtime", "env", "egress", "ssh", "projects", "debug", "resources", "extends") {
		t.Run(key, func(t *testing.T) {
			u.Write("project/.claude-bottle/agents/tester.md", "---\nbottle: default\n"+key+": x\n---\n")
			refused(t, u, "", "project/.claude-bottle/agents/tester.md:3: unknown key "+key)
		})
	}
}

// hostPaths are what no bottle may mount, in the forms that a check by string
// would let through. One bottle has left its work, and links lead astray.
func hostPaths(t *testing.T, u *bottletest.User) []string {
	t.Helper()
	does(u, "echo done > work.txt")
	u.Start("runc", "--quiet").Want(t, 0)
	bottletest.Eventually(t, "the other bottle goes", func() bool { return len(u.Supervisors()) == 0 })
	another := bottles(u)
	if another == "" || strings.Contains(another, "\n") {
		t.Fatalf("bottles are %q", another)
	}
	for name, target := range map[string]string{
		"root": "/", "home": u.Home, "run": "/run", "socket": u.Daemon.Address, "another": another, "climb": "../../../../../..", "proc": "/proc/self/root", "nowhere": "/no/such/file",
	} {
		if err := os.Symlink(target, filepath.Join(u.Cwd, name+"-link")); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", filepath.Join(u.Cwd, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	links, err := filepath.Glob(filepath.Join(u.Cwd, "*-link"))
	if err != nil || len(links) != 8 {
		t.Fatalf("links are %v, %v", links, err)
	}
	return append(links,
		"/", "//", "/.", "/..", "/proc/self/root", "/proc/1/root/", "/proc/self/cwd/../../..", "/etc", "/etc/shadow", "/dev", "/dev/mem", "/sys", "/root", "/boot",
		u.Home, "~", "~/", u.Home+"/.", u.Home+"/../home", u.Cwd+"/root-link/etc/..", "/run", "/var/run", "/run/../run", "/tmp/../run", "/var/run/docker.sock",
		u.Daemon.Address, filepath.Dir(u.Daemon.Address)+"/./"+filepath.Base(u.Daemon.Address), filepath.Join(u.Cwd, "agent.sock"), u.Daemon.State, u.Daemon.Root,
		u.Root, u.RunRoot, another, another+"/workspace", another+"/workspace/..", another+"/home/../../..", "/var/lib/claude-bottle", "/run/claude-bottle",
		".", "..", "../../../..", "./root-link", "",
	)
}

// TestT11_NoFileMountsWhatIsTheHosts: no file has a place for a mount, and the
// one path that a bottle file can name, that of a key, is of a plain file.
func TestT11_NoFileMountsWhatIsTheHosts(t *testing.T) {
	u := newUser(t, "2.4")
	paths := hostPaths(t, u)
	kept := bottles(u)
	for _, path := range paths {
		for name, test := range map[string]struct {
			line string
			want []string
		}{
			"mounts":  {fmt.Sprintf("mounts: [{source: %q, destination: /workspace, options: [rbind, rw]}]", path), []string{"default.md:3: unknown key mounts"}},
			"volumes": {fmt.Sprintf("volumes: [%q]", path+":/workspace"), []string{"default.md:3: unknown key volumes"}},
			"key":     {fmt.Sprintf("ssh: [{host: git.example.com, identityFile: %q}]", path), []string{"git.example.com"}},
		} {
			t.Run(name+path, func(t *testing.T) {
				bottle(u, test.line)
				refused(t, u, kept, test.want...)
			})
		}
	}
}

// TestT11_NoWorkingDirectoryHoldsTheUsersHome: what --cwd would copy in is a
// project, however its path is written.
func TestT11_NoWorkingDirectoryHoldsTheUsersHome(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	u.Write("home/.ssh/id", "x")
	u.Write("lib/some/kept/workspace/file", "x")
	for name, target := range map[string]string{"root": "/", "home": "../home", "keys": "../home/.ssh"} {
		if err := os.Symlink(target, filepath.Join(u.Cwd, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, directory := range []string{
		"/", "/proc/self/root", u.Home, u.Home + "/.claude-bottle", u.Home + "/.claude-bottle/bottles", u.Home + "/.ssh", u.Home + "/..", filepath.Dir(filepath.Dir(u.Home)),
		u.Cwd + "/..", u.Cwd + "/root", u.Cwd + "/home", u.Cwd + "/home/.claude-bottle", u.Cwd + "/keys",
		u.Root, u.Root + "/some/kept/workspace", u.RunRoot, filepath.Dir(u.RunRoot),
	} {
		t.Run(directory, func(t *testing.T) {
			command := u.Command("start", "tester", "--yes", "--quiet", "--cwd", "--runtime", "runc")
			// A shell says in PWD how it came there.
			command.Dir, command.Env = directory, append(command.Env, "PWD="+directory)
			r := u.RunCommand(command).Want(t, 125)
			bottletest.Contains(t, r.Stderr, "--cwd: ", "start from the directory of a project")
			if left := u.Left() + bottles(u); left != "" {
				t.Errorf("it has made:\n%s", left)
			}
		})
	}
}

// TestT6_T11_TheRecordHoldsOurOwnAnnotationsAndMounts reads what the daemon was
// given to run.
func TestT6_T11_TheRecordHoldsOurOwnAnnotationsAndMounts(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo ready; cat")
		s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows("ready")
		ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
		container, err := u.Daemon.Client().LoadContainer(ctx, "tester")
		if err != nil {
			t.Fatal(err)
		}
		spec, err := container.Spec(ctx)
		if err != nil {
			t.Fatal(err)
		}
		annotations := map[string]string{}
		if runtime == "gvisor" {
			annotations = map[string]string{"dev.gvisor.flag.host-uds": "open", "dev.gvisor.flag.oci-seccomp": "true"}
		}
		if !maps.Equal(spec.Annotations, annotations) {
			t.Errorf("T6: annotations are %v", spec.Annotations)
		}
		info, err := container.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for key := range info.Labels {
			if !strings.HasPrefix(key, "claude-bottle.dev/") {
				t.Errorf("T6: label %s", key)
			}
		}
		binds := 0
		for _, mount := range spec.Mounts {
			if mount.Type != "bind" {
				continue
			}
			binds++
			checkSource(t, u, info.Labels["claude-bottle.dev/id"], mount.Source, slices.Contains(mount.Options, "ro"))
		}
		if binds < 6 {
			t.Errorf("T11: only %d binds in %v", binds, spec.Mounts)
		}
		s.Types("\x04")
		if code := s.Ends(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// checkSource wants a source to be PID 1's program, or to lie below a directory
// of this bottle's, which is root's to write, with no link on the way.
func checkSource(t *testing.T, u *bottletest.User, id, source string, readOnly bool) {
	t.Helper()
	if source == filepath.Join(filepath.Dir(u.Binary), "bottle-init") && readOnly {
		return
	}
	if resolved, err := filepath.EvalSymlinks(source); err != nil || resolved != source {
		t.Errorf("T11: %s leads to %s, %v", source, resolved, err)
	}
	owned, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", id))
	running, _ := filepath.Glob(filepath.Join(u.RunRoot, "*", "bottles", id))
	owned = append(owned, running...)
	if len(owned) != 2 || id == "" {
		t.Fatalf("directories of bottle %q are %v", id, owned)
	}
	below := ""
	for _, directory := range owned {
		if strings.HasPrefix(source, directory+"/") {
			below = directory
		}
	}
	if below == "" {
		t.Errorf("T11: %s is bound, which lies below none of %v", source, owned)
		return
	}
	// The root of a user namespace must pass, and may neither list nor write.
	info, err := os.Stat(below)
	if err != nil || info.Mode().Perm()&^0o711 != 0 || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("T11: %s is %v, %v", below, info, err)
	}
	entries, err := os.ReadDir(below)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && !entry.IsDir() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("T11: %s of %s is %v", entry.Name(), below, info.Mode())
		}
	}
}
