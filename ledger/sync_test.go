package ledger

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// TestF27_AWriteThroughAMappingIsSeen: without a sync, the kernel dates no write to a
// page that is dirty already.
func TestF27_AWriteThroughAMappingIsSeen(t *testing.T) {
	work := &backend.Work{State: t.TempDir()}
	path := filepath.Join(work.Place(backend.PlaceWorkspace), "mapped")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var in unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &in); err != nil {
		t.Fatal(err)
	}
	if in.Type == unix.TMPFS_MAGIC {
		t.Skip("a tmpfs writes nothing back")
	}
	memory, err := unix.Mmap(int(file.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	memory[0] = 1
	if err := Sync(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	before, err := Now(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	memory[1] = 2
	after, err := Now(t.Context(), work)
	if err != nil || before["mapped"] == after["mapped"] {
		t.Errorf("%q is %q, %v", before["mapped"], after["mapped"], err)
	}
	if err := Sync(t.Context(), &backend.Work{State: filepath.Join(work.State, "gone")}); err != nil {
		t.Error(err)
	}
}
