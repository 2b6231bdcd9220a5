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
	options.Caps, options.Symlinks = archive.CopyCaps(256<<30, 5_000_000), archive.SymlinksInside
	return options
}

// deliver makes what a stream holds a new name in parent.
func deliver(ctx context.Context, parent, name string, r io.Reader, options archive.Options) (archive.Summary, error) {
	return archive.Deliver(ctx, r, archive.Delivery{Files: archive.OwnFiles{}, To: filepath.Join(parent, name), Name: name, Options: options})
}

// sift passes on what a stream holds under that name.
func sift(ctx context.Context, w io.Writer, name string, r io.Reader, options archive.Options) (archive.Summary, error) {
	return archive.Sift(ctx, w, r, archive.SiftOptions{Options: options, Single: true, Name: name})
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

func TestADeliveredTreeIsAsItWentAndNothingIsLeftBeside(t *testing.T) {
	from, parent := tree(t), t.TempDir()
	var stream bytes.Buffer
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{Root: true, Prefix: "whatever/"}))
	summary, err := deliver(t.Context(), parent, "new", &stream, archive.Options{})
	must(t, err)
	if got := names(t, parent); !slices.Equal(got, []string{"new"}) {
		t.Errorf("there is %v", got)
	}
	same(t, "delivery", from, filepath.Join(parent, "new"))
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

func TestASingleFileIsDelivered(t *testing.T) {
	parent := t.TempDir()
	_, err := deliver(t.Context(), parent, "file", tarOf(t, fileHeader("any name", 7)), home())
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
		_, err := deliver(t.Context(), parent, "other", stream, home())
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: error is %v", what, err)
		}
		if got := names(t, parent); !slices.Equal(got, []string{"file"}) {
			t.Errorf("%s: there is %v", what, got)
		}
	}
}

func TestF26NothingIsLeftOfAStreamThatIsCutOrStalls(t *testing.T) {
	var whole bytes.Buffer
	must(t, archive.Pack(t.Context(), &whole, open(t, tree(t)), archive.PackOptions{Prefix: "top/"}))
	cause := errors.New("enough")
	for _, length := range []int{1, 511, 513, whole.Len() / 3, whole.Len() / 2} {
		parent := t.TempDir()
		for how, take := range map[string]func(context.Context, io.Reader) error{
			"deliver": func(ctx context.Context, r io.Reader) error {
				_, err := deliver(ctx, parent, "new", r, home())
				return err
			},
			"sift": func(ctx context.Context, r io.Reader) error {
				_, err := sift(ctx, io.Discard, "new", r, home())
				return err
			},
		} {
			if err := take(t.Context(), bytes.NewReader(whole.Bytes()[:length])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: a stream that was cut after %d bytes: error is %v", how, length, err)
			}
			reader, writer := io.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				_, _ = writer.Write(whole.Bytes()[:length])
				cancel(cause) // the writer stays open, and says no more
			}()
			if err := take(ctx, reader); !errors.Is(err, cause) {
				t.Errorf("%s: stalled after %d bytes: error is %v", how, length, err)
			}
			must(t, writer.Close())
			if got := names(t, parent); len(got) != 0 {
				t.Errorf("%s: %v is left after %d bytes", how, got, length)
			}
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
		"bytes":       {archive.Caps{Bytes: 10}, tarOf(t, fileHeader("d/a", 6), fileHeader("d/b", 5)), "bytes, 10"},
		"entries":     {archive.Caps{Entries: 2}, tarOf(t, dirHeader("d"), dirHeader("d/b"), dirHeader("d/c")), "entries, 2"},
		"depth":       {archive.Caps{Depth: 9}, tarOf(t, fileHeader(deep, 1)), "depth, 9"},
		"name":        {archive.Caps{Name: 100}, tarOf(t, fileHeader(strings.Repeat("n", 101), 1)), "bytes in a name, 100"},
		"target":      {archive.Caps{Name: 100}, tarOf(t, symlinkHeader("l", strings.Repeat("n", 101))), "bytes in a name, 100"},
		"own depth":   {archive.Caps{}, tarOf(t, fileHeader(strings.Repeat("d/", 600)+"x", 1)), "depth, 512"},
		"held":        {archive.Caps{Held: 1000}, tarOf(t, slices.Repeat([]tar.Header{symlinkHeader("d/l", "x")}, 11)...), "names of directories and links, 1000"},
		"within caps": {archive.Caps{Bytes: 11, Entries: 3, Depth: 10, Name: 100, Held: 1000}, tarOf(t, fileHeader(deep, 6), fileHeader("d/b", 5)), ""},
	} {
		options := home()
		options.Caps = test.caps
		parent := t.TempDir()
		_, delivered := deliver(t.Context(), parent, "new", bytes.NewReader(test.stream.Bytes()), options)
		_, sifted := sift(t.Context(), io.Discard, "new", bytes.NewReader(test.stream.Bytes()), options)
		if test.says == "" {
			must(t, errors.Join(delivered, sifted))
			continue
		}
		for how, err := range map[string]error{"deliver": delivered, "sift": sifted} {
			if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %s: error is %v", name, how, err)
			}
		}
		if got := names(t, parent); len(got) != 0 {
			t.Errorf("%s: %v is left", name, got)
		}
	}
}

func TestT16TheNamesOfDirectoriesAreBounded(t *testing.T) {
	options := home()
	options.Caps.Held = 1000
	_, err := deliver(t.Context(), t.TempDir(), "new", tarOf(t, slices.Repeat([]tar.Header{dirHeader("d")}, 11)...), options)
	if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), "names of directories and links, 1000") {
		t.Errorf("error is %v", err)
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
	must(t, archive.Pack(t.Context(), &stream, open(t, from), archive.PackOptions{Prefix: "d/", Special: true}))
	delivered, err := deliver(t.Context(), to, "new", bytes.NewReader(stream.Bytes()), home())
	must(t, err)
	sifted, err := sift(t.Context(), io.Discard, "new", &stream, home())
	must(t, err)
	want := []archive.Skipped{
		{Path: "d/absolute", Kind: "symbolic link that leads outside"},
		{Path: "d/fifo", Kind: "FIFO or socket"},
		{Path: "d/suid", Kind: "setuid, setgid or sticky bit"},
	}
	for how, summary := range map[string]archive.Summary{"deliver": delivered, "sift": sifted} {
		if !slices.Equal(summary.Skipped, want) || summary.SkippedCount != 3 || summary.Files != 2 {
			t.Errorf("%s: %+v", how, summary)
		}
	}
	if got := names(t, filepath.Join(to, "new")); !slices.Equal(got, []string{"inside", "suid"}) {
		t.Errorf("it holds %v", got)
	}
}
