package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
)

// memoryDir is a directory in memory until the test ends.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "archive") //nolint:usetesting // no disk is waited for
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// small are caps that keep a round short.
func small() archive.Options {
	options := home()
	options.Caps = archive.Caps{Bytes: 1 << 20, Entries: 200, Depth: 20, Name: 1000, Held: 1 << 20}
	return options
}

func FuzzExtract(f *testing.F) {
	for _, prefix := range []string{"", "top/"} {
		var stream bytes.Buffer
		must(f, archive.Pack(f.Context(), &stream, open(f, tree(f)), archive.PackOptions{Prefix: prefix}))
		f.Add(stream.Bytes()[:20<<10])
		for _, h := range hostileStreams() {
			if data := h.bytes(f, prefix, "/canary"); len(data) < 64<<10 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := memoryDir(t)
		inside := filepath.Join(parent, "inside")
		must(t, os.Mkdir(inside, 0o755))
		options := small()
		options.Symlinks = archive.SymlinksAll
		_, _ = archive.Extract(t.Context(), open(t, inside), bytes.NewReader(data), options)
		if got := names(t, parent); !slices.Equal(got, []string{"inside"}) {
			t.Errorf("T13: there is %v", got)
		}
		_, err := deliver(t.Context(), parent, "new", bytes.NewReader(data), small())
		if err == nil {
			checkHome(t, filepath.Join(parent, "new"))
			must(t, os.RemoveAll(filepath.Join(parent, "new")))
		}
		if got := names(t, parent); !slices.Equal(got, []string{"inside"}) {
			t.Errorf("T13: there is %v after %v", got, err)
		}
		var sifted bytes.Buffer
		if _, err := sift(t.Context(), &sifted, "new", bytes.NewReader(data), small()); err == nil {
			checkSifted(t, "new", sifted.Bytes())
		}
	})
}

// FuzzPack makes a tree of what it is given, and wants it back from a stream and
// from a copy.
func FuzzPack(f *testing.F) {
	f.Add("a\nb/c\nb/d\nl>b/c\ns@b", []byte("content"), int64(1_700_000_000_123_456_789))
	f.Add(strings.Repeat("n", 200)+"\n"+strings.Repeat("d/", 40)+"x", bytes.Repeat([]byte{0}, 70<<10), int64(-5))
	f.Add("\xff\nü/é\n a \nz>a", []byte{}, int64(1<<62))
	f.Fuzz(func(t *testing.T, plan string, content []byte, when int64) {
		from := memoryDir(t)
		grow(from, plan, content, time.Unix(0, when))
		var stream bytes.Buffer
		must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{}))
		streamed, copied := memoryDir(t), memoryDir(t)
		_, err := archive.Extract(t.Context(), open(t, streamed), &stream, mine())
		must(t, err)
		same(t, "stream", from, streamed)
		_, err = archive.Copy(t.Context(), open(t, from), open(t, copied), archive.PackOptions{}, mine())
		must(t, err)
		same(t, "copy", from, copied)
	})
}

// grow makes one entry a line: a file, NAME>TARGET a hard link, NAME@TARGET a
// symbolic one, NAME/ a directory. What can't be made is left out.
func grow(root, plan string, content []byte, when time.Time) {
	inside, err := os.OpenRoot(root)
	if err != nil {
		return
	}
	defer func() { _ = inside.Close() }()
	for i, line := range strings.SplitN(plan, "\n", 20) {
		name, target, hard := strings.Cut(line, ">")
		if hard {
			_ = inside.Link(target, name)
			continue
		}
		name, target, soft := strings.Cut(line, "@")
		if soft {
			_ = inside.Symlink(target, name)
			continue
		}
		if name, dir := strings.CutSuffix(line, "/"); dir {
			_ = inside.MkdirAll(name, 0o755)
			continue
		}
		_ = inside.MkdirAll(filepath.Dir(name), 0o750)
		if inside.WriteFile(name, content[:min(len(content), len(content)/(i+1)+i)], os.FileMode(0o400+i)) == nil {
			_ = inside.Chtimes(name, when, when)
		}
	}
}
