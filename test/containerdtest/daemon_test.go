package containerdtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const namespace = "containerdtest"

func TestDaemonAnswersWithTheVersionAskedFor(t *testing.T) {
	for _, version := range []string{"2.4", "1.7", "1.6"} {
		t.Run(version, func(t *testing.T) {
			d := containerdtest.Start(t, containerdtest.Options{Version: version})
			got, err := d.Client().Version(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(strings.TrimPrefix(got.Version, "v"), version+".") {
				t.Errorf("version is %q, want %s", got.Version, version)
			}
		})
	}
}

func TestLedgerSeesAContainerAndCloseLeavesNothing(t *testing.T) {
	for _, version := range []string{"2.4", "1.7", "1.6"} {
		t.Run(version, func(t *testing.T) {
			d := containerdtest.Start(t, containerdtest.Options{Version: version})
			d.ImportTestImage(t, namespace)
			before := d.Ledger(t)
			pid := runForever(t, d)
			added := strings.Join(before.Diff(d.Ledger(t)), "\n")
			for _, kind := range []string{"record", "task", "snapshot", "process", "mount", "bundle", "cgroup", "socket", "runtime-state"} {
				if !strings.Contains(added, "+ "+kind+" ") {
					t.Errorf("the ledger shows no %s:\n%s", kind, added)
				}
			}
			if err := d.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := d.Up(); err != nil {
				t.Fatal(err)
			}
			again := d.Ledger(t)
			if diff := before.Diff(again); strings.Join(diff, "\n") != added {
				t.Errorf("after kill -9 of the daemon the ledger is\n%s\nwant\n%s", strings.Join(diff, "\n"), added)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			for _, line := range again {
				kind, rest, _ := strings.Cut(line, " ")
				if kind == "cgroup" || kind == "socket" || kind == "runtime-state" || kind == "bundle" {
					if _, err := os.Lstat(rest); err == nil {
						t.Errorf("close left %s", line)
					}
				}
			}
			if _, err := os.Lstat(d.Dir); err == nil {
				t.Errorf("close left %s", d.Dir)
			}
			if command, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); err == nil && bytes.HasPrefix(command, []byte("sleep")) {
				t.Errorf("close left process %s", pid)
			}
		})
	}
}

// runForever starts a container on runc and returns its pid.
func runForever(t *testing.T, d *containerdtest.Daemon) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(t.Context(), namespace), time.Minute)
	defer cancel()
	image, err := d.Client().GetImage(ctx, containerdtest.TestImage)
	if err != nil {
		t.Fatal(err)
	}
	container, err := d.Client().NewContainer(ctx, "forever",
		containerd.WithNewSnapshot("forever", image),
		containerd.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs("sleep", "1000000"), func(_ context.Context, _ oci.Client, _ *containers.Container, spec *specs.Spec) error {
			spec.Version = "1.0.2"
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.NewTask(ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		t.Fatal(err)
	}
	pid := strconv.FormatUint(uint64(task.Pid()), 10)
	// For a moment it is still the runtime's own process, by another name.
	for name := ""; name != "sleep\n"; {
		data, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil || ctx.Err() != nil {
			t.Fatalf("the command is %q, %v", data, errors.Join(err, ctx.Err()))
		}
		name = string(data)
	}
	return pid
}
