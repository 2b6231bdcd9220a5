package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/containerd/containerd/v2/core/mount"
	core "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/image-spec/identity"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// newUser is a user of the real claude on a daemon of its own.
func newUser(t *testing.T) *bottletest.User {
	t.Helper()
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportImage(t, bottletest.Namespace, filepath.Join(daemon.Libexec, "images", "default.tar"))
	return bottletest.New(t, bottletest.Options{Daemon: daemon})
}

// binaries are the OCI runtimes by what we call them.
var binaries = map[string]string{"gvisor": "runsc", "runc": "runc"}

// ctr is the daemon's own client.
func ctr(u *bottletest.User, args ...string) *exec.Cmd {
	full := append([]string{"--address", u.Daemon.Address, "--namespace", bottletest.Namespace}, args...)
	return exec.Command(filepath.Join(u.Daemon.Libexec, "ctr"), full...)
}

func TestStart(t *testing.T) {
	u := newUser(t)
	for _, runtime := range bottletest.Runtimes() {
		binary := u.Daemon.RuntimePath(binaries[runtime])
		count := 0
		ours := command("claude-bottle", func() *exec.Cmd {
			count++
			return u.Command("--quiet", "start", "tester", "--yes", "--name", fmt.Sprintf("bench-%d", count), "--runtime", runtime, "--", "--version")
		})
		// What goes on after claude's exit is not waited for, nor left to
		// disturb the next.
		ours.after = func() error {
			bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
			return nil
		}
		theirs := command("ctr run --rm", func() *exec.Cmd {
			count++
			return ctr(u, "run", "--rm", "--runc-binary", binary, bottletest.DefaultImage, fmt.Sprintf("bench-%s-%d", runtime, count), "claude", "--version")
		})
		compare(t, "start, claude --version, "+runtime, pairs(t), ours, theirs)
		bundle := newBundle(t, u)
		bare := command(binaries[runtime]+" run", func() *exec.Cmd {
			count++
			args := []string{"--root", filepath.Join(bundle, "root")}
			if runtime == "gvisor" {
				args = append(args, "--overlay2=root:memory")
			}
			return exec.Command(binary, append(args, "run", "--bundle", bundle, fmt.Sprintf("bare-%d", count))...)
		})
		compare(t, "start, claude --version, "+runtime, pairs(t), ours, bare)
	}
}

// newBundle is the image unpacked, with the least of a specification.
func newBundle(t *testing.T, u *bottletest.User) string {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	image, err := u.Daemon.Client().GetImage(ctx, bottletest.DefaultImage)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.RootFS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	rootfs := filepath.Join(bundle, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	key := "bench-" + filepath.Base(filepath.Dir(bundle)) + filepath.Base(bundle)
	snapshots := u.Daemon.Client().SnapshotService("overlayfs")
	// No record names it: without the label the garbage collector takes it.
	mounts, err := snapshots.Prepare(ctx, key, identity.ChainID(layers).String(), core.WithLabels(map[string]string{"containerd.io/gc.root": "bench"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := mount.All(mounts, rootfs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mount.UnmountAll(rootfs, 0); err != nil {
			t.Error(err)
		}
		if err := snapshots.Remove(namespaces.WithNamespace(context.WithoutCancel(u.Context()), bottletest.Namespace), key); err != nil {
			t.Error(err)
		}
	})
	spec := specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: []string{"claude", "--version"}, Cwd: "/", Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
			},
		},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestCommandInARunningBottle(t *testing.T) {
	client := filepath.Join(t.TempDir(), "session")
	build := exec.Command("go", "build", "-o", client, "./session")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build session: %v: %s", err, output)
	}
	u := newUser(t)
	for _, runtime := range bottletest.Runtimes() {
		s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows(bottletest.Ready)
		sockets, _ := filepath.Glob(filepath.Join(u.RunRoot, "*", "bottles", "*", "ctl.sock"))
		if len(sockets) != 1 {
			t.Fatalf("control sockets are %v", sockets)
		}
		count := 0
		compare(t, "command in a bottle, "+runtime, 3*pairs(t),
			command("session", func() *exec.Cmd { return exec.Command(client, sockets[0], "true") }),
			command("ctr task exec", func() *exec.Cmd {
				count++
				return ctr(u, "task", "exec", "--exec-id", fmt.Sprintf("bench-%d", count), "tester", "true")
			}))
		s.Types("\x03")
		s.Shows("again to exit")
		s.Types("\x03")
		s.Ends()
		bottletest.Eventually(t, "the bottle goes", func() bool { return u.Left() == "" })
	}
}
