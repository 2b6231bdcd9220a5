package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
)

// shown lists a tree, one line an entry: what it is and what it holds.
func shown(t *testing.T, root string) string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case entry.IsDir():
			lines = append(lines, name+"/")
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			lines = append(lines, name+" -> "+target)
			return err
		default:
			data, err := os.ReadFile(path)
			lines = append(lines, name+" = "+string(data))
			return err
		}
		return nil
	}))
	return strings.Join(lines, "\n")
}

// plant makes a tree of what shown shows.
func plant(t *testing.T, root, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		path, isLink := filepath.Join(root, line), false
		name, target, isLink := strings.Cut(line, " -> ")
		if isLink {
			must(t, os.Symlink(target, filepath.Join(root, name)))
			continue
		}
		if strings.HasSuffix(line, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		name, content, _ := strings.Cut(line, " = ")
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o600))
	}
}

// packed is the stream of one path below root.
func packed(t *testing.T, root, name string) []byte {
	t.Helper()
	var stream bytes.Buffer
	must(t, archive.PackPath(t.Context(), &stream, archive.OwnFiles{}, filepath.Join(root, name)))
	return stream.Bytes()
}

func TestDeliverIsWhatUsersOfCpExpect(t *testing.T) {
	const source = "dir/a = new a\ndir/sub/b = new b\ndir/link -> a\nfile = new"
	for name, test := range map[string]struct {
		before, source, to, name, want string
		kind                           func(error) bool
	}{
		"file to a new name":           {"", "file", "x", "file", "x = new", nil},
		"file onto a file":             {"x = old", "file", "x", "file", "x = new", nil},
		"file into a directory":        {"d/", "file", "d", "file", "d/\nd/file = new", nil},
		"file into a directory, slash": {"d/file = old", "file", "d/", "file", "d/\nd/file = new", nil},
		"file to no directory":         {"", "file", "d/", "file", "", errdefs.IsFailedPrecondition},
		"file below no directory":      {"", "file", "d/e", "file", "", errdefs.IsNotFound},
		"file below a file":            {"d = old", "file", "d/", "file", "d = old", errdefs.IsFailedPrecondition},
		"file further below a file":    {"d = old", "file", "d/e", "file", "d = old", errdefs.IsFailedPrecondition},
		"file onto a link":             {"x -> y\ny = old", "file", "x", "file", "x = new\ny = old", nil},
		"file onto a directory in it":  {"d/file/x = old", "file", "d", "file", "d/\nd/file/\nd/file/x = old", errdefs.IsFailedPrecondition},
		"directory to a new name":      {"", "dir", "x", "dir", "x/\nx/a = new a\nx/link -> a\nx/sub/\nx/sub/b = new b", nil},
		"directory to a new, slash":    {"", "dir", "x/", "dir", "x/\nx/a = new a\nx/link -> a\nx/sub/\nx/sub/b = new b", nil},
		"directory into a directory":   {"x/", "dir", "x", "dir", "x/\nx/dir/\nx/dir/a = new a\nx/dir/link -> a\nx/dir/sub/\nx/dir/sub/b = new b", nil},
		"directory onto a file":        {"x = old", "dir", "x", "dir", "x = old", errdefs.IsFailedPrecondition},
		"directories are merged": {
			"x/dir/a = old\nx/dir/c = old\nx/dir/sub/d = old", "dir", "x", "dir",
			"x/\nx/dir/\nx/dir/a = new a\nx/dir/c = old\nx/dir/link -> a\nx/dir/sub/\nx/dir/sub/b = new b\nx/dir/sub/d = old", nil,
		},
		"content is merged": {"x/a = old\nx/c = old", "dir", "x", "", "x/\nx/a = new a\nx/c = old\nx/link -> a\nx/sub/\nx/sub/b = new b", nil},
		"content to a new":  {"", "dir", "x", "", "x/\nx/a = new a\nx/link -> a\nx/sub/\nx/sub/b = new b", nil},
		"a link is no directory": {
			"x/a = old\nx/sub -> ../y\ny/b = old", "dir", "x", "", "x/\nx/a = old\nx/sub -> ../y\ny/\ny/b = old", errdefs.IsFailedPrecondition,
		},
		"a directory is no link":   {"x/a = old\nx/link/", "dir", "x", "", "x/\nx/a = old\nx/link/", errdefs.IsFailedPrecondition},
		"a conflict undoes it all": {"x/a = old\nx/sub/b/c = old", "dir", "x", "", "x/\nx/a = old\nx/sub/\nx/sub/b/\nx/sub/b/c = old", errdefs.IsFailedPrecondition},
	} {
		for _, where := range []string{"own", "root"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				from, root := t.TempDir(), t.TempDir()
				plant(t, from, source)
				plant(t, root, test.before)
				to := archive.Delivery{Files: archive.OwnFiles{}, To: root + "/" + test.to, Name: test.name, Flush: true}
				if where == "root" {
					to = archive.Delivery{Files: rootOf(t, root), To: test.to, Name: test.name}
				}
				_, err := archive.Deliver(t.Context(), bytes.NewReader(packed(t, from, test.source)), to)
				if test.kind == nil && err != nil || test.kind != nil && !test.kind(err) {
					t.Errorf("got %v", err)
				}
				if got := shown(t, root); got != test.want {
					t.Errorf("there is\n%s\nwant\n%s", got, test.want)
				}
			})
		}
	}
}

func rootOf(t *testing.T, path string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(path)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// TestF26_F17_ADeliveryThatFailsLeavesAllAsItWas cuts the stream at each block, and
// breaks it by a context and by a reader that fails.
func TestF26_F17_ADeliveryThatFailsLeavesAllAsItWas(t *testing.T) {
	const before = "dir/a = old\ndir/c = old"
	from, root := t.TempDir(), t.TempDir()
	plant(t, from, "dir/a = new\ndir/b = "+strings.Repeat("x", 3000)+"\ndir/sub/d = new")
	plant(t, root, before)
	was := shown(t, root)
	stream := packed(t, from, "dir")
	errCut := errors.New("cut")
	deliver := func(ctx context.Context, r io.Reader) error {
		_, err := archive.Deliver(ctx, r, archive.Delivery{Files: archive.OwnFiles{}, To: root, Name: "dir"})
		return err
	}
	for cut := 0; cut < len(stream); cut += 100 {
		err := deliver(t.Context(), io.MultiReader(bytes.NewReader(stream[:cut]), iotest.ErrReader(errCut)))
		if !errors.Is(err, errCut) {
			t.Errorf("cut at %d: %v", cut, err)
		}
		if got := shown(t, root); got != was {
			t.Fatalf("cut at %d: there is\n%s", cut, got)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCut)
	if err := deliver(ctx, bytes.NewReader(stream)); !errors.Is(err, errCut) || shown(t, root) != was {
		t.Errorf("cancelled: %v, there is\n%s", err, shown(t, root))
	}
	must(t, deliver(t.Context(), bytes.NewReader(stream)))
	if shown(t, root) == was {
		t.Error("the whole stream changes nothing")
	}
}

func TestPackPathFollowsTheLinkThatItIsGiven(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "real/a = 1\nlink -> real\nfile = 2\nto-file -> file\nout -> /etc")
	for path, want := range map[string]func(error) bool{
		"link": nil, "link/": nil, "to-file": nil, "file": nil, ".": nil,
		"file/": func(err error) bool { return err != nil }, "none": errdefs.IsNotFound,
		"out": func(err error) bool { return err != nil },
	} {
		var stream bytes.Buffer
		err := archive.PackPath(t.Context(), &stream, rootOf(t, root), path)
		if want == nil && err != nil || want != nil && !want(err) {
			t.Errorf("%s: %v", path, err)
		}
		if want == nil {
			names := map[string]bool{}
			for reader := tar.NewReader(&stream); ; {
				header, err := reader.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				must(t, err)
				top, _, _ := strings.Cut(header.Name, "/")
				names[top] = true
			}
			if len(names) != 1 || names["."] {
				t.Errorf("%s: the names at the top are %v", path, names)
			}
		}
	}
}

// TestT13_SiftPassesOnWhatExtractWouldTake, under the wanted name.
func TestT13_SiftPassesOnWhatExtractWouldTake(t *testing.T) {
	entry := func(kind byte, name, link, content string) func(*tar.Writer) {
		return func(w *tar.Writer) {
			must(t, w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o4755, Size: int64(len(content))}))
			_, err := w.Write([]byte(content))
			must(t, err)
		}
	}
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, add := range []func(*tar.Writer){
		entry(tar.TypeDir, "top/", "", ""), entry(tar.TypeReg, "top/a", "", "content"), entry(tar.TypeLink, "top/again", "top/a", ""),
		entry(tar.TypeSymlink, "top/in", "a", ""), entry(tar.TypeSymlink, "top/out", "../../x", ""), entry(tar.TypeSymlink, "top/beside", "../x", ""),
		entry(tar.TypeSymlink, "top/abs", "/etc/passwd", ""), entry(tar.TypeLink, "top/sub/deep", "top/in", ""),
		entry(tar.TypeFifo, "top/fifo", "", ""), entry(tar.TypeChar, "top/device", "", ""), entry(tar.TypeReg, "top/left/b", "", "x"),
	} {
		add(w)
	}
	must(t, w.Close())
	options := archive.SiftOptions{Single: true, Name: "new", Options: archive.Options{
		Symlinks: archive.SymlinksInside, Leave: func(name string) string { return map[string]string{"left": "not wanted"}[name] },
	}}
	var out bytes.Buffer
	summary, err := archive.Sift(t.Context(), &out, bytes.NewReader(stream.Bytes()), options)
	must(t, err)
	var names []string
	for reader := tar.NewReader(&out); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, fmt.Sprintf("%s %o %s", header.Name, header.Mode, header.Linkname))
	}
	want := "new/ 755 |new/a 755 |new/again 755 new/a|new/in 755 a"
	if got := strings.Join(names, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	left := fmt.Sprint(summary.Skipped)
	for _, part := range []string{"top/out", "top/beside", "top/abs", "top/sub/deep", "top/fifo", "top/device", `"top/left" (not wanted)`, "setuid"} {
		if !strings.Contains(left, part) {
			t.Errorf("%s is not named in %s", part, left)
		}
	}
	for name, hostile := range map[string][]byte{"cut": stream.Bytes()[:stream.Len()-1024], "inside": stream.Bytes()[:600], "empty": nil} {
		out.Reset()
		if _, err := archive.Sift(t.Context(), &out, bytes.NewReader(hostile), options); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("F26: %s: %v", name, err)
		}
	}
	options.Caps.Bytes = 3
	if _, err := archive.Sift(t.Context(), &out, bytes.NewReader(stream.Bytes()), options); !errdefs.IsResourceExhausted(err) {
		t.Errorf("T16: %v", err)
	}
}
