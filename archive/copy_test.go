package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// nasty is tree and more: many files of many sizes, links between directories,
// holes at either end, special files, modes that shut out.
func nasty(t testing.TB) string {
	t.Helper()
	root := tree(t)
	for i := range 200 {
		dir := filepath.Join(root, fmt.Sprintf("many-%d", i%7), "below")
		must(t, os.MkdirAll(dir, 0o755))
		size := i * i * 3
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i)}, size), os.FileMode(0o400|i%0o400)))
		if i%10 == 0 {
			must(t, os.Link(filepath.Join(dir, fmt.Sprint(i)), filepath.Join(root, fmt.Sprintf("link-%d", i))))
		}
	}
	for name, at := range map[string][]int64{"hole-first": {1 << 20}, "hole-last": {0}, "holes": {4096, 1 << 20, 2 << 20}} {
		file, err := os.Create(filepath.Join(root, name))
		must(t, err)
		for _, offset := range at {
			_, err = file.WriteAt([]byte("data"), offset)
			must(t, err)
		}
		must(t, file.Truncate(3<<20))
		must(t, file.Close())
	}
	must(t, os.WriteFile(filepath.Join(root, "zeros"), make([]byte, 1<<20), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "large"), bytes.Repeat([]byte("large"), 1<<20), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "suid"), nil, 0o755))
	must(t, unix.Chmod(filepath.Join(root, "suid"), 0o7755))
	must(t, os.WriteFile(filepath.Join(root, "nothing"), []byte("secret"), 0))
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	must(t, os.Symlink("many-0", filepath.Join(root, "to a directory")))
	must(t, os.MkdirAll(filepath.Join(root, strings.Repeat("deep/", 100)), 0o711))
	must(t, os.MkdirAll(filepath.Join(root, "left/out"), 0o755))
	return root
}

func TestCopyMakesTheSameTreeAsAStream(t *testing.T) {
	from := nasty(t)
	for name, pack := range map[string]archive.PackOptions{
		"whole": {},
		"decided": {
			Prefix: "some/where/",
			Root:   true,
			Visit: func(entry archive.Entry) error {
				if entry.Path == "left" || strings.HasSuffix(entry.Path, "5") {
					return archive.ErrSkip
				}
				return nil
			},
			Content: func(path string) ([]byte, bool, error) {
				return []byte("replaced"), strings.HasPrefix(filepath.Base(path), "1") || path == "link-0", nil
			},
		},
		"special": {Special: true},
	} {
		options := mine()
		if pack.Special {
			options.Symlinks = archive.SymlinksInside
		}
		var stream bytes.Buffer
		streamed, copied := memoryDir(t), memoryDir(t)
		must(t, archive.Pack(t.Context(), &stream, open(t, from), pack))
		want, err := archive.Extract(t.Context(), open(t, streamed), &stream, options)
		must(t, err)
		var done atomic.Int64
		pack.Done = func(bytes int64) { done.Store(bytes) }
		got, err := archive.Copy(t.Context(), open(t, from), open(t, copied), pack, options)
		must(t, err)
		same(t, name, filepath.Join(streamed, pack.Prefix), filepath.Join(copied, pack.Prefix))
		slices.SortFunc(want.Skipped, func(a, b archive.Skipped) int { return strings.Compare(a.Path, b.Path) })
		slices.SortFunc(got.Skipped, func(a, b archive.Skipped) int { return strings.Compare(a.Path, b.Path) })
		if want.Files != got.Files || want.Bytes != got.Bytes || !slices.Equal(want.Skipped, got.Skipped) {
			t.Errorf("%s: by stream: %+v\nby copy: %+v", name, want, got)
		}
		if done.Load() != got.Bytes {
			t.Errorf("%s: heard of %d bytes of %d", name, done.Load(), got.Bytes)
		}
		var stat unix.Stat_t
		must(t, unix.Stat(filepath.Join(copied, pack.Prefix, "a/sparse"), &stat))
		if blocks := stat.Blocks * 512; blocks > 1<<20 {
			t.Errorf("a hole of 8 MiB takes %d bytes", blocks)
		}
	}
}

func TestCopyReplacesFilesAndFollowsNoLinkThatIsThere(t *testing.T) {
	from, to, canary := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(from, "d"), 0o755))
	for _, name := range []string{"file", "link", "d/file"} {
		must(t, os.WriteFile(filepath.Join(from, name), []byte("new"), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(canary, "file"), []byte("old"), 0o600))
	must(t, os.WriteFile(filepath.Join(to, "file"), []byte("older and longer"), 0o600))
	must(t, os.Symlink(filepath.Join(canary, "file"), filepath.Join(to, "link")))
	_, err := archive.Copy(t.Context(), open(t, from), open(t, to), archive.PackOptions{}, mine())
	must(t, err)
	same(t, "copy", from, to)
	must(t, os.RemoveAll(filepath.Join(to, "d")))
	must(t, os.Symlink(canary, filepath.Join(to, "d")))
	if _, err := archive.Copy(t.Context(), open(t, from), open(t, to), archive.PackOptions{}, mine()); err == nil {
		t.Error("a link in place of a directory was no error")
	}
	if data, _ := os.ReadFile(filepath.Join(canary, "file")); string(data) != "old" {
		t.Errorf("the canary sings %q", data)
	}
}

func TestCopyStopsAtACapAnErrorAndItsContext(t *testing.T) {
	from := nasty(t)
	caps := mine()
	caps.Caps.Bytes = 1000
	if _, err := archive.Copy(t.Context(), open(t, from), open(t, t.TempDir()), archive.PackOptions{}, caps); !errdefs.IsResourceExhausted(err) {
		t.Errorf("error is %v", err)
	}
	cause := errors.New("enough")
	visit := func(entry archive.Entry) error {
		if entry.Path == "many-3" {
			return cause
		}
		return nil
	}
	if _, err := archive.Copy(t.Context(), open(t, from), open(t, t.TempDir()), archive.PackOptions{Visit: visit}, mine()); !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	pack := archive.PackOptions{Done: func(int64) { cancel(cause) }}
	if _, err := archive.Copy(ctx, open(t, from), open(t, t.TempDir()), pack, mine()); !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
	to := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(to, "many-3/below/10"), 0o755)) // a file's name
	if _, err := archive.Copy(t.Context(), open(t, from), open(t, to), archive.PackOptions{}, mine()); !errors.Is(err, unix.EISDIR) {
		t.Errorf("error is %v", err)
	}
}

// TestCopyOfAFileThatChangesMixesNothingIn cuts a file and writes it anew, over
// and over, while it is copied.
func TestCopyOfAFileThatChangesMixesNothingIn(t *testing.T) {
	from := t.TempDir()
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	must(t, os.WriteFile(filepath.Join(from, "file"), content, 0o600))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Truncate(filepath.Join(from, "file"), 0)
				_ = os.WriteFile(filepath.Join(from, "file"), content, 0o600)
			}
		}
	}()
	whole := 0
	for tries := 0; tries < 300 || whole == 0; tries++ {
		to := t.TempDir()
		if _, err := archive.Copy(t.Context(), open(t, from), open(t, to), archive.PackOptions{}, mine()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(to, "file"))
		must(t, err)
		if !bytes.HasPrefix(content, data) {
			t.Fatal("the copy holds what the file never did")
		}
		whole++
	}
	close(stop)
	<-ended
}
