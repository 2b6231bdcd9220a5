package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"golang.org/x/sys/unix"
)

// TestCopiesShareContentWhereTheFileSystemCan copies trees on XFS and onto it: the
// first share blocks, the second can't, and both are whole.
func TestCopiesShareContentWhereTheFileSystemCan(t *testing.T) {
	dir := t.TempDir()
	image, mount, elsewhere := filepath.Join(dir, "image"), filepath.Join(dir, "mount"), filepath.Join(dir, "elsewhere")
	for _, err := range []error{
		os.WriteFile(image, nil, 0o600), os.Truncate(image, 400<<20), os.Mkdir(mount, 0o755), os.MkdirAll(filepath.Join(elsewhere, "below"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) {
		t.Helper()
		if said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, said)
		}
	}
	run("mkfs.xfs", "-q", image)
	run("mount", "-o", "loop", image, mount)
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Errorf("unmount %s: %v", mount, err)
		}
	})
	const count, size = 40, 1 << 20
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, size) }
	for i := range count {
		if err := os.WriteFile(filepath.Join(elsewhere, "below", fmt.Sprint(i)), content(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first, second := filepath.Join(mount, "first"), filepath.Join(mount, "second")
	took := copyTree(t, mount, elsewhere, first)
	if took < count*size {
		t.Errorf("a copy from another file system took %d bytes", took)
	}
	if took := copyTree(t, mount, first, second); took > count*size/10 {
		t.Errorf("a copy on the same file system took %d bytes", took)
	}
	if err := os.WriteFile(filepath.Join(first, "below", "0"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		data, err := os.ReadFile(filepath.Join(second, "below", fmt.Sprint(i)))
		if err != nil || !bytes.Equal(data, content(i)) {
			t.Errorf("file %d is another one (%v)", i, err)
		}
	}
}

// copyTree copies a tree and says how many bytes the file system lost by it.
func copyTree(t *testing.T, mount, from, to string) int64 {
	t.Helper()
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }()
	free := func() int64 {
		var stat unix.Statfs_t
		if err := unix.Syncfs(int(target.Fd())); err != nil {
			t.Fatal(err)
		}
		if err := unix.Statfs(mount, &stat); err != nil {
			t.Fatal(err)
		}
		return int64(stat.Bfree) * stat.Bsize
	}
	before := free()
	if _, err := archive.Copy(t.Context(), source, target, archive.PackOptions{}, archive.Options{UID: 4242, GID: 4242}); err != nil {
		t.Fatal(err)
	}
	return before - free()
}
