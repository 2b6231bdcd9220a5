package containerdtest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// Ledger is all that a bottle may leave behind, a sorted line a thing: records,
// tasks, snapshots, leases and ingests in the daemon; shims and runtimes,
// mounts, cgroups, FIFOs, bundles and shim sockets beside it.
type Ledger []string

// Diff is what came ("+ ...") and what went ("- ...") between two ledgers.
func (l Ledger) Diff(later Ledger) []string {
	var lines []string
	for _, line := range later {
		if !slices.Contains(l, line) {
			lines = append(lines, "+ "+line)
		}
	}
	for _, line := range l {
		if !slices.Contains(later, line) {
			lines = append(lines, "- "+line)
		}
	}
	return lines
}

// Ledger looks at the daemon, which must answer, and at the host around it.
// Beside the daemon's directories it looks into those given, such as the one
// that OCI runtimes keep their state in.
func (d *Daemon) Ledger(t testing.TB, dirs ...string) Ledger {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	known, err := d.client.NamespaceService().List(ctx)
	if err != nil {
		t.Fatalf("ledger: list namespaces: %v", err)
	}
	var ledger Ledger
	for _, namespace := range known {
		lines, err := d.holdings(namespaces.WithNamespace(ctx, namespace), namespace)
		if err != nil {
			t.Fatalf("ledger: namespace %s: %v", namespace, err)
		}
		ledger = append(ledger, lines...)
	}
	ledger = append(ledger, d.surroundings(append(dirs, d.Dir))...)
	slices.Sort(ledger)
	return ledger
}

// holdings is what the daemon keeps in one namespace.
func (d *Daemon) holdings(ctx context.Context, namespace string) ([]string, error) {
	var lines []string
	add := func(kind, name string) { lines = append(lines, kind+" "+namespace+"/"+name) }
	records, err := d.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	for _, record := range records {
		add("record", record.ID)
	}
	running, err := d.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	for _, task := range running.Tasks {
		add("task", task.ID)
	}
	err = d.client.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		add("snapshot", info.Name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	leases, err := d.client.LeasesService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	for _, lease := range leases {
		add("lease", lease.ID)
	}
	ingests, err := d.client.ContentStore().ListStatuses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ingests: %w", err)
	}
	for _, ingest := range ingests {
		add("ingest", ingest.Ref)
	}
	return lines, nil
}

// surroundings is what there is on the host.
func (d *Daemon) surroundings(dirs []string) []string {
	var lines []string
	for _, p := range servants(dirs...) {
		if p.pid != d.Pid() {
			lines = append(lines, "process "+p.String())
		}
	}
	for _, dir := range dirs {
		for _, point := range mountsBelow(dir) {
			lines = append(lines, "mount "+point)
		}
		lines = append(lines, special(dir)...)
	}
	for _, root := range []string{d.Root, d.State} {
		bundles, _ := filepath.Glob(filepath.Join(root, "io.containerd.runtime.v2.task", "*", "*"))
		for _, bundle := range bundles {
			lines = append(lines, "bundle "+bundle)
		}
	}
	seen := d.watch.seen()
	for path := range seen.cgroups {
		for _, dir := range cgroupDirs(path) {
			lines = append(lines, "cgroup "+dir)
		}
	}
	for _, path := range seen.stateFiles() {
		lines = append(lines, "runtime-state "+path)
	}
	for path := range seen.sockets {
		if _, err := os.Lstat(path); err == nil {
			lines = append(lines, "socket "+path)
		}
	}
	return lines
}

// special lists the FIFOs and sockets below dir, but for the daemon's own and
// for what snapshots hold.
func special(dir string) []string {
	var lines []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), "io.containerd.snapshotter.") {
			return filepath.SkipDir
		}
		isOwn := strings.HasPrefix(entry.Name(), "containerd.sock")
		if entry.Type()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 && !isOwn {
			lines = append(lines, "special file "+path)
		}
		return nil
	})
	return lines
}
