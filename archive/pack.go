package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PackOptions say what of a tree goes into a stream.
type PackOptions struct {
	// Prefix stands before every path of the stream: "" or a path that ends
	// with a slash.
	Prefix string
	// Visit decides for each entry; nil takes everything. ErrSkip leaves the
	// entry out, and all below it.
	Visit func(Entry) error
	// Content replaces what a regular file holds when it returns true.
	Content func(path string) (content []byte, replace bool, err error)
	// Done hears the bytes read so far, now and then.
	Done func(bytes int64)
}

// Pack writes the tree below root as a tar stream: regular files, directories
// and symbolic links, with permission bits, modification times to the nanosecond
// and hard links. Other kinds of file are left out; a Visit function can name
// them. A file that shrinks while it is read is an error.
func Pack(ctx context.Context, w io.Writer, root *os.File, options PackOptions) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	p := &packer{options: options, out: newWriter(buffered), links: map[inode]string{}, buffer: make([]byte, 128<<10)}
	if err := Walk(ctx, root, p.visit); err != nil {
		return fmt.Errorf("pack %s: %w", root.Name(), err)
	}
	if err := p.out.close(); err != nil {
		return fmt.Errorf("pack %s: %w", root.Name(), err)
	}
	return buffered.Flush()
}

// PackFile writes one open regular file as a tar stream, under that name.
func PackFile(w io.Writer, file *os.File, name string) error {
	p := &packer{out: newWriter(w), buffer: make([]byte, 128<<10)}
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %s: %w", file.Name(), err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is not a regular file: %w", file.Name(), unix.EINVAL)
	}
	h := header{kind: tar.TypeReg, name: name, mode: stat.Mode & 0o777, seconds: stat.Mtim.Sec, nanos: stat.Mtim.Nsec}
	if err := p.content(h, stat.Size, file); err != nil {
		return fmt.Errorf("pack %s: %w", file.Name(), err)
	}
	return p.out.close()
}

// inode identifies a file that has more than one name.
type inode struct{ device, number uint64 }

type packer struct {
	options PackOptions
	out     *writer
	links   map[inode]string
	buffer  []byte
	bytes   int64
}

func (p *packer) visit(entry Entry) error {
	if p.options.Visit != nil {
		if err := p.options.Visit(entry); err != nil {
			return err
		}
	}
	header := header{
		name:    p.options.Prefix + entry.Path,
		mode:    entry.Stat.Mode & 0o777,
		seconds: entry.Stat.Mtim.Sec,
		nanos:   entry.Stat.Mtim.Nsec,
	}
	switch entry.Kind() {
	case unix.S_IFDIR:
		header.kind, header.name = tar.TypeDir, header.name+"/"
		return p.out.header(&header)
	case unix.S_IFLNK:
		target, err := readlink(entry)
		if err != nil {
			return err
		}
		header.kind, header.link = tar.TypeSymlink, target
		return p.out.header(&header)
	case unix.S_IFREG:
		return p.file(entry, header)
	default:
		return nil
	}
}

func (p *packer) file(entry Entry, header header) error {
	header.kind = tar.TypeReg
	if p.options.Content != nil {
		content, replace, err := p.options.Content(entry.Path)
		if err != nil {
			return err
		}
		if replace {
			return p.content(header, int64(len(content)), bytes.NewReader(content))
		}
	}
	if entry.Stat.Nlink > 1 {
		id := inode{entry.Stat.Dev, entry.Stat.Ino}
		if first, ok := p.links[id]; ok {
			header.kind, header.link = tar.TypeLink, first
			return p.out.header(&header)
		}
		p.links[id] = header.name
	}
	// Not blocking: the name may be a FIFO by now.
	fd, err := openat(entry.parent, entry.name, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%s was replaced while it was copied, try again: %w", entry.Path, err)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", entry.Path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var opened unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil {
		return fmt.Errorf("look at %s: %w", entry.Path, err)
	}
	if opened.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s was replaced while it was copied, try again: %w", entry.Path, unix.EAGAIN)
	}
	return p.content(header, opened.Size, descriptor(fd))
}

func (p *packer) content(header header, size int64, from io.Reader) error {
	header.size = size
	if err := p.out.header(&header); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := from.Read(p.buffer[:min(left, int64(len(p.buffer)))])
		if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
			return fmt.Errorf("%s became shorter while it was copied, try again: %w", header.name, io.ErrUnexpectedEOF)
		}
		if n > 0 {
			if err := p.out.write(p.buffer[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", header.name, err)
		}
	}
	p.bytes += size
	if p.options.Done != nil {
		p.options.Done(p.bytes)
	}
	return p.out.pad(size)
}

func readlink(entry Entry) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(entry.parent, entry.name, buffer)
	if err != nil {
		return "", fmt.Errorf("read link %s: %w", entry.Path, err)
	}
	return string(buffer[:n]), nil
}

// descriptor reads a file without the cost of an os.File.
type descriptor int

// Read implements io.Reader.
func (d descriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Builder writes a small tar stream from memory.
type Builder struct {
	buffer bytes.Buffer
	out    *writer
	err    error
	made   map[string]bool
}

// NewBuilder returns an empty stream.
func NewBuilder() *Builder {
	b := &Builder{made: map[string]bool{}}
	b.out = newWriter(&b.buffer)
	return b
}

// File adds a file, and the directories above it with mode 0700.
func (b *Builder) File(name string, mode os.FileMode, content []byte) {
	b.parents(name)
	b.add(&header{kind: tar.TypeReg, name: name, mode: uint32(mode.Perm()), size: int64(len(content)), seconds: builtTime})
	if b.err == nil {
		b.err = b.out.write(content)
	}
	if b.err == nil {
		b.err = b.out.pad(int64(len(content)))
	}
}

// Link adds a symbolic link.
func (b *Builder) Link(name, target string) {
	b.parents(name)
	b.add(&header{kind: tar.TypeSymlink, name: name, link: target, mode: 0o777, seconds: builtTime})
}

// Bytes ends the stream and returns it.
func (b *Builder) Bytes() ([]byte, error) {
	if b.err == nil {
		b.err = b.out.close()
	}
	return b.buffer.Bytes(), b.err
}

// builtTime is the modification time of all that a Builder adds, so that the
// same content has the same hash: 1 January 2026.
var builtTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func (b *Builder) parents(name string) {
	for i := range len(name) {
		if name[i] != '/' || b.made[name[:i]] {
			continue
		}
		b.made[name[:i]] = true
		b.add(&header{kind: tar.TypeDir, name: strings.Clone(name[:i+1]), mode: 0o700, seconds: builtTime})
	}
}

func (b *Builder) add(h *header) {
	if b.err == nil {
		b.err = b.out.header(h)
	}
}
