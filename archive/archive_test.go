package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"golang.org/x/sys/unix"
)

// open opens a directory until the test ends.
func open(t testing.TB, path string) *os.File {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mine() archive.Options { return archive.Options{UID: os.Getuid(), GID: os.Getgid()} }

// tree makes one of every kind of file that is kept.
func tree(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755))
	must(t, os.Mkdir(filepath.Join(root, "closed"), 0o500))
	must(t, os.WriteFile(filepath.Join(root, "a/one"), []byte("one"), 0o640))
	must(t, os.WriteFile(filepath.Join(root, "a/empty"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(root, "a/run"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.Link(filepath.Join(root, "a/one"), filepath.Join(root, "a/b/same")))
	must(t, os.Symlink("../nowhere", filepath.Join(root, "a/b/dangling")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(root, "a/b/absolute")))
	must(t, os.WriteFile(filepath.Join(root, "a/b", strings.Repeat("long", 40)), []byte("x"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "a/b/ünï cödé\n"), []byte("x"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "a/big"), bytes.Repeat([]byte("0123456789abcdef"), 50_000), 0o600))
	sparse, err := os.Create(filepath.Join(root, "a/sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 8<<20)
	must(t, err)
	must(t, sparse.Close())
	for i, name := range []string{"a/one", "a/big", "a/b/c", "a"} {
		when := time.Date(2001+i, 2, 3, 4, 5, 6, 123456789+i, time.UTC)
		must(t, os.Chtimes(filepath.Join(root, name), when, when))
	}
	return root
}

// describe lists a tree with all that is to be kept.
func describe(t testing.TB, root string) []string {
	t.Helper()
	var lines []string
	links := map[uint64]string{}
	must(t, archive.Walk(t.Context(), open(t, root), func(entry archive.Entry) error {
		line := fmt.Sprintf("%q %o", entry.Path, entry.Stat.Mode)
		switch entry.Kind() {
		case unix.S_IFREG:
			data, err := os.ReadFile(filepath.Join(root, entry.Path))
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %.40q %x", len(data), data, crc32.ChecksumIEEE(data))
			if entry.Stat.Nlink > 1 {
				if links[entry.Stat.Ino] == "" {
					links[entry.Stat.Ino] = entry.Path
				}
				line += " same as " + links[entry.Stat.Ino]
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(filepath.Join(root, entry.Path))
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		lines = append(lines, fmt.Sprintf("%s %d.%d", line, entry.Stat.Mtim.Sec, entry.Stat.Mtim.Nsec))
		return nil
	}))
	return lines
}

// same wants two trees to be equal, and says where they are not.
func same(t testing.TB, what, wanted, found string) {
	t.Helper()
	want, got := describe(t, wanted), describe(t, found)
	missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return slices.Contains(got, line) })
	extra := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return slices.Contains(want, line) })
	if !slices.Equal(want, got) {
		t.Errorf("%s: wanted\n%.4000s\nfound\n%.4000s", what, strings.Join(missing, "\n"), strings.Join(extra, "\n"))
	}
}

func TestTreeComesOutAsItWentIn(t *testing.T) {
	from, to := tree(t), t.TempDir()
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{}))
	summary, err := archive.Extract(t.Context(), open(t, to), &stream, mine())
	must(t, err)
	want, got := describe(t, from), describe(t, to)
	if !slices.Equal(want, got) {
		t.Errorf("went in:\n%s\ncame out:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	if summary.Files != len(want) {
		t.Errorf("summary says %d files of %d", summary.Files, len(want))
	}
	var stat unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "a/sparse"), &stat))
	if blocks := stat.Blocks * 512; blocks > 1<<20 {
		t.Errorf("a hole of 8 MiB takes %d bytes", blocks)
	}
}

// TestStreamIsReadByOtherTars wants our stream to be a tar that GNU tar reads,
// and GNU tar's to be read by us.
func TestStreamIsReadByOtherTars(t *testing.T) {
	from, to, back := tree(t), t.TempDir(), t.TempDir()
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{}))
	untar := exec.CommandContext(t.Context(), "tar", "-xpf", "-", "-C", to)
	untar.Stdin = &stream
	if said, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, said)
	}
	if want, got := describe(t, from), describe(t, to); !slices.Equal(want, got) {
		t.Errorf("went in:\n%s\ntar made:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	said, err := exec.CommandContext(t.Context(), "tar", "--format=posix", "-cf", "-", "-C", from, ".").Output()
	must(t, err)
	_, err = archive.Extract(t.Context(), open(t, back), bytes.NewReader(said), mine())
	must(t, err)
	if want, got := describe(t, from), describe(t, back); !slices.Equal(want, got) {
		t.Errorf("tar packed:\n%s\nwe made:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

func TestT15OwnersAndSpecialBitsAreNotKept(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "suid"), []byte("x"), 0o755))
	must(t, unix.Chmod(filepath.Join(from, "suid"), 0o7755))
	must(t, unix.Mkfifo(filepath.Join(from, "fifo"), 0o600))
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{}))
	_, err := archive.Extract(t.Context(), open(t, to), &stream, mine())
	must(t, err)
	var stat unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "suid"), &stat))
	if stat.Mode&0o7000 != 0 {
		t.Errorf("mode is %o", stat.Mode)
	}
	if _, err := os.Lstat(filepath.Join(to, "fifo")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a FIFO was packed: %v", err)
	}
}

func TestExtractBreaksOffOnACutStream(t *testing.T) {
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, tree(t)), archive.PackOptions{}))
	for _, length := range []int{1, 511, 513, stream.Len() / 3, stream.Len() / 2} {
		_, err := archive.Extract(t.Context(), open(t, t.TempDir()), bytes.NewReader(stream.Bytes()[:length]), mine())
		if err == nil {
			t.Errorf("a stream that was cut after %d bytes passed", length)
		}
	}
}

func TestExtractStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, tree(t)), archive.PackOptions{}))
	if _, err := archive.Extract(ctx, open(t, t.TempDir()), &stream, mine()); !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
}

func TestPackAsksBeforeEachEntry(t *testing.T) {
	root := tree(t)
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, root), archive.PackOptions{
		Prefix: "in/",
		Visit: func(entry archive.Entry) error {
			if entry.Path == "a/b" {
				return archive.ErrSkip
			}
			return nil
		},
		Content: func(path string) ([]byte, bool, error) { return []byte("replaced"), path == "a/one", nil },
	}))
	contents := map[string]string{}
	reader := tar.NewReader(&stream)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		data, err := io.ReadAll(io.LimitReader(reader, 100))
		must(t, err)
		contents[header.Name] = string(data)
	}
	if contents["in/a/one"] != "replaced" {
		t.Errorf("in/a/one holds %q", contents["in/a/one"])
	}
	for name := range contents {
		if strings.HasPrefix(name, "in/a/b/") || !strings.HasPrefix(name, "in/") {
			t.Errorf("%s was packed", name)
		}
	}
}

func TestBaselineSeesEveryKindOfChange(t *testing.T) {
	for name, change := range map[string]func(root string) error{
		"new file":        func(root string) error { return os.WriteFile(filepath.Join(root, "new"), nil, 0o600) },
		"changed content": func(root string) error { return os.WriteFile(filepath.Join(root, "a/one"), []byte("two"), 0o600) },
		"same size and time": func(root string) error {
			path := filepath.Join(root, "a/one")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path, []byte("eno"), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"removed": func(root string) error { return os.Remove(filepath.Join(root, "a/empty")) },
		"mode":    func(root string) error { return os.Chmod(filepath.Join(root, "a/run"), 0o600) },
		"new dir": func(root string) error { return os.Mkdir(filepath.Join(root, "dir"), 0o700) },
		"renamed": func(root string) error { return os.Rename(filepath.Join(root, "a/run"), filepath.Join(root, "a/ran")) },
	} {
		t.Run(name, func(t *testing.T) {
			path := tree(t)
			root := rootOf(t, path)
			must(t, os.Mkdir(filepath.Join(path, ".git"), 0o755))
			must(t, os.WriteFile(filepath.Join(path, ".git/index"), []byte("a"), 0o600))
			baseline := written(t, root)
			must(t, os.WriteFile(filepath.Join(path, ".git/index"), []byte("b"), 0o600))
			if paths := differs(t, root, baseline); len(paths) != 0 {
				t.Fatalf("nothing was done, and %v changed", paths)
			}
			must(t, change(path))
			if paths := differs(t, root, baseline); len(paths) == 0 {
				t.Error("the change was not seen")
			}
		})
	}
}
