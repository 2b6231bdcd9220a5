package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// tarOf makes a tar. A name that ends with a slash is a directory, "a -> b" a link.
func tarOf(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	writer := tar.NewWriter(&b)
	for _, entry := range entries {
		name, target, isLink := strings.Cut(entry, " -> ")
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(name))}
		switch {
		case isLink:
			header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, target, 0
		case strings.HasSuffix(name, "/"):
			header.Typeflag, header.Size = tar.TypeDir, 0
		}
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			_, _ = io.WriteString(writer, name)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	writer := gzip.NewWriter(&b)
	_, _ = writer.Write(data)
	_ = writer.Close()
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	writer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return writer.EncodeAll(data, nil)
}

func TestWhatAStreamHoldsIsToldByItsBeginning(t *testing.T) {
	layer := strings.Repeat("0a", 32)
	for _, test := range []struct {
		want    Kind
		entries []string
	}{
		{KindImages, []string{"oci-layout", "index.json"}},
		{KindImages, []string{"blobs/", "blobs/sha256/", "blobs/sha256/" + layer}},
		{KindImages, []string{"./", "./blobs/"}},
		{KindImages, []string{layer + "/", layer + "/layer.tar", "manifest.json"}},
		{KindImages, []string{layer + ".json", "manifest.json"}},
		{KindImages, []string{"sha256:" + layer, "manifest.json"}},
		{KindFiles, []string{"./", "./usr/"}},
		{KindFiles, []string{"bin -> usr/bin", "usr/"}},
		{KindFiles, []string{"bin/busybox"}},
		{KindFiles, []string{"./etc/passwd"}},
		{KindFiles, []string{"opt/"}},
	} {
		plain := tarOf(t, test.entries...)
		for name, data := range map[string][]byte{"plain": plain, "gzip": gzipped(plain), "zstd": zstded(t, plain)} {
			kind, whole, err := Guess(bytes.NewReader(data))
			if err != nil || kind != test.want {
				t.Errorf("%v %s: %s, %v", test.entries, name, kind, err)
				continue
			}
			if got, err := io.ReadAll(whole); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v %s: the stream is not whole: %v", test.entries, name, err)
			}
		}
	}
	for _, data := range []string{"", "no tar at all, and long enough for a header " + strings.Repeat("x", 600), "BZh91AY&SY", "\xfd7zXZ\x00", "PK\x03\x04zip", "\x1f\x8bnonsense"} {
		if kind, _, err := Guess(strings.NewReader(data)); err == nil {
			t.Errorf("%q is %s", data, kind)
		}
	}
}

// zeros is an endless stream.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// bomb is a packed tar of one file of zeros.
func bomb(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	writer := tar.NewWriter(packed)
	if err := writer.WriteHeader(&tar.Header{Name: "zeros", Size: size, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(writer, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	_ = packed.Close()
	return b.Bytes()
}

func TestT16_BombsAreRefusedAsSoonAsTheyBreakALimit(t *testing.T) {
	limits := Limits{Bytes: 1 << 20, Entries: 100}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("f%d/", i))
	}
	// A header alone says that a file is larger than any disk.
	var sparse bytes.Buffer
	if err := tar.NewWriter(&sparse).WriteHeader(&tar.Header{Name: "x", Size: 1 << 62, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	endless := tarOf(t, "small")
	endless = append(endless[:len(endless):len(endless)], make([]byte, 8<<20)...) // behind the end of the tar
	for name, data := range map[string][]byte{
		"ratio": bomb(t, 8<<20), "entries": tarOf(t, many...), "size": sparse.Bytes(), "trailer": gzipped(endless),
		"name": tarOf(t, strings.Repeat("n/", 3000)),
	} {
		if size, _, err := Measure(bytes.NewReader(data), limits, io.Discard); !errdefs.IsResourceExhausted(err) {
			t.Errorf("measured %s: %+v, %v", name, size, err)
		}
		if err := Sift(io.Discard, bytes.NewReader(data), limits); name != "trailer" && !errdefs.IsResourceExhausted(err) {
			t.Errorf("sifted %s: %v", name, err)
		}
	}
	if size, packing, err := Measure(bytes.NewReader(bomb(t, 1<<20)), limits, io.Discard); err != nil || packing != Gzip || size != (Size{1 << 20, 1}) {
		t.Errorf("just within the limits: %+v, %s, %v", size, packing, err)
	}
}

// namesOf are the entries of a tar.
func namesOf(t *testing.T, data []byte) []string {
	t.Helper()
	var names []string
	reader := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

func TestAnArchiveIsSiftedToWhatImagesAreMadeOf(t *testing.T) {
	var b bytes.Buffer
	writer := tar.NewWriter(&b)
	for _, header := range []*tar.Header{
		{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1}, {Name: "fifo", Typeflag: tar.TypeFifo}, {Name: "hard", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "index.json"}, {Name: "index.json", Typeflag: tar.TypeReg, Uid: 7, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}},
	} {
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
	}
	_ = writer.Close()
	var sifted bytes.Buffer
	if err := Sift(&sifted, &b, Limits{1 << 20, 10}); err != nil {
		t.Fatal(err)
	}
	if got := namesOf(t, sifted.Bytes()); !slices.Equal(got, []string{"link", "index.json"}) {
		t.Errorf("left are %v", got)
	}
	var large bytes.Buffer
	writer = tar.NewWriter(&large)
	_ = writer.WriteHeader(&tar.Header{Name: "./index.json", Typeflag: tar.TypeReg, Size: 16 << 20})
	_, _ = io.CopyN(writer, zeros{}, 16<<20)
	_ = writer.Close()
	if err := Sift(io.Discard, &large, Limits{1 << 30, 10}); !errdefs.IsResourceExhausted(err) {
		t.Errorf("an index of 16 MiB: %v", err)
	}
}

func TestT9_ALayoutDirectoryIsReadWithoutFollowingLinks(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	dir := t.TempDir()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{secret: "canary", filepath.Join(dir, "oci-layout"): "{}", filepath.Join(dir, "index.json"): "{}", filepath.Join(blobs, "a"): "a", filepath.Join(dir, "other"): "canary"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(blobs, "b")); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Layout(&b, dir); err != nil || !IsLayout(dir) {
		t.Fatal(err)
	}
	if got := namesOf(t, b.Bytes()); !slices.Equal(got, []string{"oci-layout", "index.json", "blobs/sha256/a"}) || bytes.Contains(b.Bytes(), []byte("canary")) {
		t.Errorf("taken is %v", got)
	}
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if err := Layout(io.Discard, dir); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an index that is a link: %v", err)
	}
}

func FuzzGuess(f *testing.F) {
	plain := tarOf(f, "./", "blobs/", "a -> b")
	f.Add(plain)
	f.Add(gzipped(plain))
	f.Add(zstded(f, plain))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Bytes: 1 << 16, Entries: 64}
		_, whole, err := Guess(bytes.NewReader(data))
		if err != nil {
			return
		}
		_ = Sift(io.Discard, whole, limits)
		if size, _, err := Measure(bytes.NewReader(data), limits, io.Discard); err == nil && (size.Bytes > limits.Bytes || size.Entries > limits.Entries) {
			t.Errorf("%+v is over the limits", size)
		}
	})
}
