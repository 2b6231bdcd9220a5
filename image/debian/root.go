package debian

import (
	"archive/tar"
	"bytes"
	"crypto/md5" //nolint:gosec // by which dpkg knows whether a file was changed
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Bounds of a root file system.
const (
	maxEntries = 500_000
	maxBytes   = 16 << 30
)

// merged are the directories of old that are links to those below /usr.
func merged() []string { return []string{"bin", "lib", "lib64", "sbin"} }

// root is a root file system that is being written.
type root struct {
	to      *tar.Writer
	written map[string]bool
	bytes   int64
	// sums are of the files that are asked for, by their names.
	sums map[string]string
}

// writeRoot merges the files of the packages, and writes the books of dpkg: all of them
// are unpacked, none is configured.
func writeRoot(w io.Writer, suite, architecture string, chosen []pack, packed [][]byte) error {
	r := &root{to: tar.NewWriter(w), written: map[string]bool{}, sums: map[string]string{}}
	books := newBooks()
	for i, one := range chosen {
		said, err := control(packed[i])
		if err == nil {
			err = r.unpack(packed[i], said, books, one.name)
		}
		if err != nil {
			return fmt.Errorf("package %s: %w", backend.Printable(one.name), err)
		}
	}
	for name, content := range books.files(suite, architecture) {
		if err := r.file(name, content); err != nil {
			return err
		}
	}
	for _, name := range merged() {
		if !r.written["usr/"+name] {
			continue
		}
		if err := r.link(name, "usr/"+name); err != nil {
			return err
		}
	}
	if err := r.to.Close(); err != nil {
		return fmt.Errorf("write root file system: %w", err)
	}
	return nil
}

// unpack writes the files of one package, and enters it into the books.
func (r *root) unpack(deb []byte, said map[string][]byte, books *books, name string) error {
	plain, err := part(deb, "data.tar")
	if err != nil {
		return err
	}
	configuration := conffiles(string(said["conffiles"]))
	var names []string
	reader := tar.NewReader(plain)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read its files: %w", err)
		}
		original := path.Clean("/" + header.Name)
		names = append(names, original)
		if err := r.entry(header, reader, slices.Contains(configuration, original)); err != nil {
			return fmt.Errorf("file %s: %w", backend.Printable(original), err)
		}
	}
	return books.enter(name, said, names, configuration, r.sums)
}

// conffiles are the files that a user may change. A line may begin with a word besides:
// such a file is one that goes.
func conffiles(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "/") {
			list = append(list, name)
		}
	}
	return list
}

// place is where a path lies once all is below /usr.
func place(name string) string {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	first, _, _ := strings.Cut(clean, "/")
	if slices.Contains(merged(), first) {
		return "usr/" + clean
	}
	return clean
}

// unread says that a file is for people who read it there: nobody does, as in the slim
// images of Debian's. Licences stay.
func unread(name string) bool {
	for _, below := range unreadBelow() {
		if strings.HasPrefix(name, below+"/") {
			return path.Base(name) != "copyright"
		}
	}
	return false
}

func unreadBelow() []string {
	return []string{"usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"}
}

// entry writes one entry of a package. The first package that has a file keeps it.
func (r *root) entry(header *tar.Header, content io.Reader, sum bool) error {
	name := place(header.Name)
	if slices.Contains(merged(), strings.TrimPrefix(path.Clean("/"+header.Name), "/")) && header.Typeflag == tar.TypeSymlink {
		return nil // newer suites bring the links themselves
	}
	if name == "" || r.written[name] || unread(name) && header.Typeflag != tar.TypeDir {
		return nil
	}
	made := &tar.Header{
		Typeflag: header.Typeflag, Name: name, Mode: header.Mode & 0o7777, Uid: header.Uid, Gid: header.Gid,
		ModTime: header.ModTime, Format: tar.FormatPAX,
	}
	hash := md5.New() //nolint:gosec // dpkg knows no other
	switch header.Typeflag {
	case tar.TypeDir:
		made.Name += "/"
	case tar.TypeReg:
		made.Size = header.Size
		made.Mode &^= 0o6000 // it means nothing in a bottle
	case tar.TypeSymlink:
		made.Linkname = header.Linkname
	case tar.TypeLink:
		made.Linkname = place(header.Linkname)
		made.Mode &^= 0o6000
	default:
		return fmt.Errorf("it is neither file, directory nor link: %w", errdefs.ErrInvalidArgument)
	}
	if sum {
		content = io.TeeReader(content, hash)
	}
	if err := r.add(name, made, content); err != nil {
		return err
	}
	if sum {
		r.sums[path.Clean("/"+header.Name)] = hex.EncodeToString(hash.Sum(nil))
	}
	return nil
}

func (r *root) add(name string, header *tar.Header, content io.Reader) error {
	r.written[name] = true
	r.bytes += header.Size
	if len(r.written) > maxEntries || r.bytes > maxBytes {
		return fmt.Errorf("the packages hold more than %d files or %s: %w", maxEntries, backend.Bytes(maxBytes), errdefs.ErrResourceExhausted)
	}
	if err := r.to.WriteHeader(header); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	if _, err := io.CopyN(r.to, content, header.Size); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	return nil
}

func (r *root) link(name, to string) error {
	return r.add(name, &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777, Format: tar.FormatPAX}, strings.NewReader(""))
}

// file writes a file that no package has, with the directories on the way.
func (r *root) file(name string, content []byte) error {
	for at := len(name); ; {
		at = strings.LastIndexByte(name[:at], '/')
		if at < 0 || r.written[name[:at]] {
			break
		}
		if err := r.add(name[:at], &tar.Header{Typeflag: tar.TypeDir, Name: name[:at] + "/", Mode: 0o755, Format: tar.FormatPAX}, strings.NewReader("")); err != nil {
			return err
		}
	}
	mode := int64(0o644)
	if script(path.Base(name)) {
		mode = 0o755
	}
	return r.add(name, &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatPAX}, bytes.NewReader(content))
}
