package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// home is how things come from a bottle: with caps, and no link that leads out.
func home() archive.Options {
	options := mine()
	options.Caps, options.Symlinks = archive.HomeCaps(), archive.SymlinksInside
	return options
}

// tarOf writes a stream of headers. What has a size gets content of that size.
func tarOf(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var stream bytes.Buffer
	writer := tar.NewWriter(&stream)
	for _, header := range headers {
		must(t, writer.WriteHeader(&header))
		_, err := writer.Write(bytes.Repeat([]byte("x"), int(header.Size)))
		must(t, err)
	}
	must(t, writer.Close())
	return &stream
}

func fileHeader(name string, size int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}
}

func dirHeader(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

func symlinkHeader(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

// names lists a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	list := []string{}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func TestNewTreeHasItsNameAndNothingIsLeftBeside(t *testing.T) {
	from, parent := tree(t), t.TempDir()
	for _, single := range []bool{false, true} {
		var stream bytes.Buffer
		pack := archive.PackOptions{Root: true}
		if single {
			pack.Prefix = "whatever/"
		}
		must(t, archive.Pack(t.Context(), &stream, open(t, from), pack))
		must(t, os.RemoveAll(filepath.Join(parent, "new")))
		summary, err := archive.ExtractNew(t.Context(), open(t, parent), "new", &stream, archive.NewOptions{Options: mine(), Single: single})
		must(t, err)
		if got := names(t, parent); !slices.Equal(got, []string{"new"}) {
			t.Errorf("there is %v", got)
		}
		want, got := describe(t, from), describe(t, filepath.Join(parent, "new"))
		if !slices.Equal(want, got) {
			t.Errorf("went in:\n%s\ncame out:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
		var before, after unix.Stat_t
		must(t, unix.Stat(from, &before))
		must(t, unix.Stat(filepath.Join(parent, "new"), &after))
		if before.Mode != after.Mode || before.Mtim != after.Mtim {
			t.Errorf("the root was %o of %v, and is %o of %v", before.Mode, before.Mtim, after.Mode, after.Mtim)
		}
		if summary.SkippedCount != 0 {
			t.Errorf("skipped: %v", summary.Skipped)
		}
	}
}

func TestNewTakesASingleFile(t *testing.T) {
	parent := t.TempDir()
	stream := tarOf(t, fileHeader("any name", 7))
	_, err := archive.ExtractNew(t.Context(), open(t, parent), "file", stream, archive.NewOptions{Options: home(), Single: true})
	must(t, err)
	data, err := os.ReadFile(filepath.Join(parent, "file"))
	must(t, err)
	if string(data) != "xxxxxxx" || len(names(t, parent)) != 1 {
		t.Errorf("%q, %v", data, names(t, parent))
	}
	for what, stream := range map[string]*bytes.Buffer{
		"two things":             tarOf(t, fileHeader("a", 1), fileHeader("b", 1)),
		"nothing":                tarOf(t),
		"a FIFO":                 tarOf(t, tar.Header{Typeflag: tar.TypeFifo, Name: "a"}),
		"a link":                 tarOf(t, symlinkHeader("a", "b")),
		"a link that leads away": tarOf(t, symlinkHeader("a", "../b")),
	} {
		_, err := archive.ExtractNew(t.Context(), open(t, parent), "other", stream, archive.NewOptions{Options: home(), Single: true})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: error is %v", what, err)
		}
		if got := names(t, parent); !slices.Equal(got, []string{"file"}) {
			t.Errorf("%s: there is %v", what, got)
		}
	}
}

func TestNewReplacesOnlyWhenTold(t *testing.T) {
	parent := t.TempDir()
	put := func(replace bool, name string) error {
		_, err := archive.ExtractNew(t.Context(), open(t, parent), "it", tarOf(t, dirHeader("d"), fileHeader("d/"+name, 3)),
			archive.NewOptions{Options: home(), Single: true, Replace: replace})
		return err
	}
	must(t, put(true, "first"))
	if err := put(false, "second"); !errdefs.IsAlreadyExists(err) {
		t.Errorf("error is %v", err)
	}
	if got := names(t, filepath.Join(parent, "it")); !slices.Equal(got, []string{"first"}) {
		t.Errorf("it holds %v", got)
	}
	must(t, os.Chmod(filepath.Join(parent, "it"), 0o500))
	must(t, put(true, "third"))
	if got := names(t, filepath.Join(parent, "it")); !slices.Equal(got, []string{"third"}) {
		t.Errorf("it holds %v", got)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00b", "/a"} {
		_, err := archive.ExtractNew(t.Context(), open(t, parent), name, tarOf(t), archive.NewOptions{Options: home()})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: error is %v", name, err)
		}
	}
	if got := names(t, parent); !slices.Equal(got, []string{"it"}) {
		t.Errorf("there is %v", got)
	}
}

func TestF26NewLeavesNothingOfAStreamThatIsCutOrStalls(t *testing.T) {
	var whole bytes.Buffer
	must(t, archive.Pack(t.Context(), &whole, open(t, tree(t)), archive.PackOptions{}))
	for _, length := range []int{1, 511, 513, whole.Len() / 3, whole.Len() / 2} {
		parent := t.TempDir()
		cut := bytes.NewReader(whole.Bytes()[:length])
		if _, err := archive.ExtractNew(t.Context(), open(t, parent), "new", cut, archive.NewOptions{Options: home()}); err == nil {
			t.Errorf("a stream that was cut after %d bytes passed", length)
		}
		if got := names(t, parent); len(got) != 0 {
			t.Errorf("cut after %d bytes: %v is left", length, got)
		}
		reader, writer := io.Pipe()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		go func() {
			_, _ = writer.Write(whole.Bytes()[:length])
			cancel(cause) // the writer stays open, and says no more
		}()
		if _, err := archive.ExtractNew(ctx, open(t, parent), "new", reader, archive.NewOptions{Options: home()}); !errors.Is(err, cause) {
			t.Errorf("stalled after %d bytes: error is %v", length, err)
		}
		must(t, writer.Close())
		if got := names(t, parent); len(got) != 0 {
			t.Errorf("stalled after %d bytes: %v is left", length, got)
		}
	}
}

func TestT16ABreachNamesItsCap(t *testing.T) {
	deep := strings.Repeat("d/", 9) + "x"
	for name, test := range map[string]struct {
		caps   archive.Caps
		stream *bytes.Buffer
		says   string
	}{
		"bytes":       {archive.Caps{Bytes: 10}, tarOf(t, fileHeader("a", 6), fileHeader("b", 5)), "bytes, 10"},
		"entries":     {archive.Caps{Entries: 2}, tarOf(t, dirHeader("a"), dirHeader("b"), dirHeader("c")), "entries, 2"},
		"depth":       {archive.Caps{Depth: 9}, tarOf(t, fileHeader(deep, 1)), "depth, 9"},
		"name":        {archive.Caps{Name: 100}, tarOf(t, fileHeader(strings.Repeat("n", 101), 1)), "bytes in a name, 100"},
		"target":      {archive.Caps{Name: 100}, tarOf(t, symlinkHeader("l", strings.Repeat("n", 101))), "bytes in a name, 100"},
		"held":        {archive.Caps{Held: 1000}, tarOf(t, slices.Repeat([]tar.Header{dirHeader("a")}, 11)...), "names of directories and links, 1000"},
		"own depth":   {archive.Caps{}, tarOf(t, fileHeader(strings.Repeat("d/", 600)+"x", 1)), "depth, 512"},
		"within caps": {archive.Caps{Bytes: 11, Entries: 3, Depth: 10, Name: 100, Held: 1000}, tarOf(t, fileHeader(deep, 6), fileHeader("b", 5)), ""},
	} {
		parent := t.TempDir()
		options := home()
		options.Caps = test.caps
		_, err := archive.ExtractNew(t.Context(), open(t, parent), "new", test.stream, archive.NewOptions{Options: options})
		if test.says == "" {
			must(t, err)
			continue
		}
		if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error is %v", name, err)
		}
		if got := names(t, parent); len(got) != 0 {
			t.Errorf("%s: %v is left", name, got)
		}
	}
}

func TestT15WhatIsLeftOutIsNamed(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "suid"), []byte("x"), 0o755))
	must(t, unix.Chmod(filepath.Join(from, "suid"), 0o4755))
	must(t, unix.Mkfifo(filepath.Join(from, "fifo"), 0o600))
	must(t, os.Symlink("/etc/passwd", filepath.Join(from, "absolute")))
	must(t, os.Symlink("suid", filepath.Join(from, "inside")))
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{Special: true}))
	summary, err := archive.ExtractNew(t.Context(), open(t, to), "new", &stream, archive.NewOptions{Options: home()})
	must(t, err)
	want := []archive.Skipped{
		{Path: "absolute", Kind: "symbolic link that leads outside"},
		{Path: "fifo", Kind: "FIFO or socket"},
		{Path: "suid", Kind: "setuid, setgid or sticky bit"},
	}
	if !slices.Equal(summary.Skipped, want) || summary.SkippedCount != 3 || summary.Files != 2 {
		t.Errorf("%+v", summary)
	}
	if got := names(t, filepath.Join(to, "new")); !slices.Equal(got, []string{"inside", "suid"}) {
		t.Errorf("it holds %v", got)
	}
}
