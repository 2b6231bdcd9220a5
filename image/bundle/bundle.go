package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// Kind is what a stream holds.
type Kind string

// The kinds.
const (
	// KindImages is an archive of images, of the OCI or of docker.
	KindImages Kind = "images"
	// KindFiles is a tar of a root file system.
	KindFiles Kind = "files"
)

// hexName is what docker calls the directory of a layer in its older archives.
var hexName = pattern.Lazy(`^[0-9a-f]{64}$`)

// Guess tells by the beginning of a stream what it holds; the stream returned has
// that beginning, too. An archive of images begins with a file, or with one of the
// directories that such archives have; a root file system with any other directory
// or a link, or with a file in one of the directories that systems have.
func Guess(r io.Reader) (Kind, io.Reader, error) {
	begun := &recorder{reader: r}
	plain, _, err := unpacked(begun)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = plain.Close() }()
	reader := tar.NewReader(plain)
	kind := KindFiles
	for entries := 0; entries < 8; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return "", nil, fmt.Errorf("there is nothing in it: %w", errdefs.ErrInvalidArgument)
		}
		if err != nil {
			return "", nil, fmt.Errorf("it is no tar, packed or plain: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		if name == "" || header.Typeflag == tar.TypeXGlobalHeader { // the directory that was packed, or nothing at all
			continue
		}
		kind = guessEntry(name, header.Typeflag)
		break
	}
	return kind, begun.rewound(), nil
}

func guessEntry(name string, typeflag byte) Kind {
	top, _, _ := strings.Cut(name, "/")
	switch {
	case top == "blobs" || hexName().MatchString(top):
		return KindImages
	case typeflag != tar.TypeReg:
		return KindFiles
	}
	switch top {
	case "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var", ".dockerenv":
		return KindFiles
	}
	return KindImages
}

// recorder remembers what is read of it.
type recorder struct {
	reader io.Reader
	read   []byte
}

// Read implements io.Reader.
func (r *recorder) Read(buffer []byte) (int, error) {
	n, err := r.reader.Read(buffer)
	r.read = append(r.read, buffer[:n]...)
	return n, err
}

// rewound is the stream from its beginning.
func (r *recorder) rewound() io.Reader {
	return io.MultiReader(strings.NewReader(string(r.read)), r.reader)
}

// Sift copies an archive of images, unpacked, and leaves out what no such archive
// needs: all but files, directories and the links between layers. An index that is
// larger than any is a ResourceExhausted error, as is what breaks the limits.
func Sift(w io.Writer, r io.Reader, limits Limits) (err error) {
	const largestIndex = 4 << 20
	plain, _, err := unpacked(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	reader, writer := tar.NewReader(newBounded(plain, limits)), tar.NewWriter(w)
	var size Size
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return writer.Close()
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := size.add(header, limits); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
		default:
			continue
		}
		switch path.Clean(header.Name) {
		case "index.json", "manifest.json", "oci-layout":
			if header.Size > largestIndex {
				return fmt.Errorf("its %s has %d bytes: %w", path.Clean(header.Name), header.Size, errdefs.ErrResourceExhausted)
			}
		}
		kept := &tar.Header{Typeflag: header.Typeflag, Name: header.Name, Linkname: header.Linkname, Mode: 0o644}
		if header.Typeflag == tar.TypeReg { // others have no bytes, whatever they say
			kept.Size = header.Size
		}
		if err := writer.WriteHeader(kept); err != nil {
			return fmt.Errorf("pass %q on: %w", header.Name, err)
		}
		if _, err := io.CopyN(writer, reader, kept.Size); err != nil { // it was counted
			return fmt.Errorf("read archive: %w", err)
		}
	}
}
