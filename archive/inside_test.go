package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"golang.org/x/sys/unix"
)

// TestT13HostileStreamsStayInside is the corpus: whatever a stream does, nothing
// outside its directory changes, and it ends. A delivery is refused, and leaves
// nothing, or taken, and what is left out has a name. What is passed on is harmless.
func TestT13HostileStreamsStayInside(t *testing.T) {
	corpus := hostileStreams()
	if len(corpus) < 60 {
		t.Fatalf("the corpus has %d cases, 60 are wanted", len(corpus))
	}
	t.Logf("%d cases", len(corpus))
	for _, h := range corpus {
		t.Run(h.name, func(t *testing.T) {
			parent := memoryDir(t)
			canary, inside := filepath.Join(parent, "canary"), filepath.Join(parent, "inside")
			must(t, os.Mkdir(canary, 0o755))
			must(t, os.Mkdir(inside, 0o755))
			must(t, os.WriteFile(filepath.Join(canary, "keep"), []byte("keep"), 0o600))
			before := describe(t, canary)
			unharmed := func(how string, err error) {
				t.Helper()
				if after := describe(t, canary); !slices.Equal(before, after) {
					t.Errorf("%s: the canary changed (%v):\n%s", how, err, strings.Join(after, "\n"))
				}
				if got := names(t, parent); !slices.Equal(got, []string{"canary", "inside"}) {
					t.Errorf("%s: there is %v (%v)", how, got, err)
				}
			}
			stream := h.bytes(t, "", canary)
			for _, options := range []archive.Options{{UID: os.Getuid(), GID: os.Getgid(), Caps: home().Caps}, home()} {
				_, err := archive.Extract(t.Context(), open(t, inside), bytes.NewReader(stream), options)
				unharmed("extract", err)
			}
			for _, prefix := range []string{"", "top/"} {
				stream := h.bytes(t, prefix, canary)
				summary, err := deliver(t.Context(), parent, "new", bytes.NewReader(stream), home())
				if err == nil {
					checkHome(t, filepath.Join(parent, "new"))
					must(t, os.RemoveAll(filepath.Join(parent, "new")))
				}
				unharmed("deliver", err)
				if got := outcome(summary, err); prefix != "" && got != h.wants {
					t.Errorf("it was %q, wanted is %q (%v)", got, h.wants, err)
				}
				var sifted bytes.Buffer
				summary, err = sift(t.Context(), &sifted, "new", bytes.NewReader(stream), home())
				if got := outcome(summary, err); prefix != "" && h.wants == "" && got != "" {
					t.Errorf("it was %q for a sieve (%v)", got, err)
				}
				if err == nil {
					checkSifted(t, "new", sifted.Bytes())
					_, err = archive.Extract(t.Context(), open(t, inside), &sifted, mine())
				}
				unharmed("sift", err)
			}
		})
	}
}

func outcome(summary archive.Summary, err error) string {
	if err != nil {
		return refused
	}
	var kinds []string
	for _, skipped := range summary.Skipped {
		kinds = append(kinds, skipped.Kind)
	}
	return strings.Join(kinds, ", ")
}

// checkHome wants a tree to hold nothing but directories, files without special
// bits, and links that lead nowhere else.
func checkHome(t testing.TB, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode().IsRegular() {
		return
	}
	root, err := os.OpenRoot(path)
	must(t, err)
	defer func() { _ = root.Close() }()
	must(t, archive.Walk(t.Context(), open(t, path), func(entry archive.Entry) error {
		if entry.Kind() != unix.S_IFLNK {
			if entry.Stat.Mode&0o7000 != 0 || entry.Kind() != unix.S_IFDIR && entry.Kind() != unix.S_IFREG {
				t.Errorf("%q has mode %o", entry.Path, entry.Stat.Mode)
			}
			return nil
		}
		if _, err := root.Stat(entry.Path); err != nil && strings.Contains(err.Error(), "escapes") {
			t.Errorf("%q leads outside", entry.Path)
		}
		return nil
	}))
}

// checkSifted wants a stream to be whole, and to hold nothing but directories, files
// and links, without special bits, that lie below one name and lead nowhere else.
func checkSifted(t testing.TB, top string, stream []byte) {
	t.Helper()
	if !bytes.HasSuffix(stream, make([]byte, 1024)) {
		t.Error("the stream has no end")
	}
	within := func(name string) bool { return name == top || strings.HasPrefix(name, top+"/") }
	for reader := tar.NewReader(bytes.NewReader(stream)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		target := top
		switch header.Typeflag {
		case tar.TypeDir, tar.TypeReg:
		case tar.TypeLink:
			target = path.Clean(header.Linkname)
		case tar.TypeSymlink:
			if target = path.Join(path.Dir(path.Clean(header.Name)), header.Linkname); path.IsAbs(header.Linkname) {
				target = header.Linkname
			}
		default:
			t.Errorf("%q is of type %q", header.Name, header.Typeflag)
		}
		if !within(path.Clean(header.Name)) || !within(target) || header.Mode&0o7000 != 0 {
			t.Errorf("%q of mode %o leads to %q", header.Name, header.Mode, target)
		}
	}
}
