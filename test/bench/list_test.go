package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// records is how many there are to be listed.
const records = 500

// TestListAndGet compares listing with what the daemon's own client does of it. The records are
// those of a real bottle, with the small files that lie beside it; nobody holds them.
func TestListAndGet(t *testing.T) {
	u := newUser(t)
	u.Run("start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", "gvisor", "--label", "team=web").Want(t, 0)
	multiply(t, u) // a controller would take all of them down
	compare(t, fmt.Sprintf("list of %d records", records), 2*pairs(t),
		command("list -o json", func() *exec.Cmd { return u.Command("list", "-o", "json") }),
		command("ctr containers ls", func() *exec.Cmd { return ctr(u, "containers", "list") }))
	compare(t, fmt.Sprintf("get of %d records", records), 2*pairs(t),
		command("get", func() *exec.Cmd { return u.Command("get") }),
		command("ctr containers ls", func() *exec.Cmd { return ctr(u, "containers", "list") }))
	u.Run("stop", "tester").Want(t, 0)
}

// multiply makes a bottle into many until the end of the test.
func multiply(t *testing.T, u *bottletest.User) {
	t.Helper()
	ctx := namespaces.WithNamespace(context.WithoutCancel(t.Context()), bottletest.Namespace)
	store := u.Daemon.Client().ContainerService()
	real, err := store.Get(ctx, "tester")
	if err != nil {
		t.Fatal(err)
	}
	for i := range records - 1 {
		id := backend.ID{Name: fmt.Sprintf("many-%d", i), Suffix: fmt.Sprintf("%05d", i)}
		one := real
		one.ID, one.SnapshotKey, one.Snapshotter = id.Name, "", ""
		one.Labels = maps.Clone(real.Labels)
		one.Labels[backend.LabelID] = id.String()
		if _, err := store.Create(ctx, one); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Delete(ctx, id.Name); err != nil {
				t.Error(err)
			}
		})
		for _, root := range []string{u.Root, u.RunRoot} {
			clone(t, root, real.Labels[backend.LabelID], id.String())
		}
	}
}

// clone copies the small files of a bottle's directory below a root, but what says that it
// could be held again.
func clone(t *testing.T, root, from, to string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "*", "bottles", from))
	if err != nil || len(found) != 1 {
		t.Fatalf("directories of %s are %v, %v", from, found, err)
	}
	copied := filepath.Join(filepath.Dir(found[0]), to)
	if err := os.Mkdir(copied, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(copied) })
	for _, name := range []string{backend.StatePlan, backend.StateDeclared, backend.StateSession, backend.FenceFile, "lock"} {
		data, err := os.ReadFile(filepath.Join(found[0], name))
		if err != nil {
			continue // of the other root
		}
		if err := os.WriteFile(filepath.Join(copied, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
