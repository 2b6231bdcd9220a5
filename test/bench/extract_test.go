package bench

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
)

// files is how many files the tree holds, about as many as a large repository
// with its dependencies.
const files = 40_000

func TestExtraction(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "bench") //nolint:usetesting // on a tmpfs
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	from := filepath.Join(dir, "from")
	if err := makeTree(from); err != nil {
		t.Fatal(err)
	}
	count := 0
	next := func() string {
		count++
		to := filepath.Join(dir, fmt.Sprint(count))
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		return to
	}
	tree := fmt.Sprintf("copy of %d files on tmpfs", files)
	empty := func() error { return os.RemoveAll(filepath.Join(dir, fmt.Sprint(count))) }
	compare(t, tree, pairs(t),
		side{name: "archive", do: func() error { return pipe(t, from, next()) }, after: empty},
		side{name: "tar | tar", do: func() error {
			return exec.Command("sh", "-c", `tar -C "$1" -c . | tar -C "$2" -x`, "sh", from, next()).Run()
		}, after: empty})
}

// pipe packs and extracts at once.
func pipe(t *testing.T, from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.Open(to)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	read, write, err := archive.Pipe()
	if err != nil {
		return err
	}
	packed := make(chan error, 1)
	go func() {
		err := archive.Pack(t.Context(), write, source, archive.PackOptions{})
		packed <- errors.Join(err, write.Close())
	}()
	_, err = archive.Extract(t.Context(), target, read, archive.Options{UID: os.Getuid(), GID: os.Getgid()})
	_, _ = io.Copy(io.Discard, read)
	return errors.Join(err, <-packed, read.Close())
}

// makeTree makes files of the sizes that source trees have: most below 4 KiB, a
// few large.
func makeTree(root string) error {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("package-%d", i/400), fmt.Sprintf("directory-%d", i/20%20))
		if i%20 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		size := random.IntN(4 << 10)
		switch {
		case i%1000 == 0:
			size = 1 << 20
		case i%10 == 0:
			size = random.IntN(64 << 10)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%d.go", i)), content[:size], 0o644); err != nil {
			return err
		}
	}
	return nil
}
