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
	// Root writes an entry for the root itself, too: under Prefix, or as ".".
	Root bool
	// Special lets the stream tell of what is not copied: devices, FIFOs,
	// sockets (as FIFOs), setuid, setgid and sticky bits. Extract names them.
	Special bool
}

// Pack writes the tree below root as a tar stream: regular files, directories
// and symbolic links, with permission bits, modification times to the nanosecond
// and hard links. Other kinds of file are left out; a Visit function can name
// them, or Special. A file that shrinks while it is read is an error.
func Pack(ctx context.Context, w io.Writer, root *os.File, options PackOptions) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	out := newStreamer(buffered, options)
	p := &packer{options: options, to: out, links: map[inode]string{}}
	if err := p.tree(ctx, root); err != nil {
		return fmt.Errorf("pack %s: %w", root.Name(), err)
	}
	if err := out.close(); err != nil {
		return fmt.Errorf("pack %s: %w", root.Name(), err)
	}
	return buffered.Flush()
}

// PackFile writes one open regular file as a tar stream, under that name.
func PackFile(w io.Writer, file *os.File, name string) error {
	out := newStreamer(w, PackOptions{})
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %s: %w", file.Name(), err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is not a regular file: %w", file.Name(), unix.EINVAL)
	}
	h := header{kind: tar.TypeReg, name: name, mode: stat.Mode & 0o777, seconds: stat.Mtim.Sec, nanos: stat.Mtim.Nsec}
	if err := out.content(h, stat.Size, file); err != nil {
		return fmt.Errorf("pack %s: %w", file.Name(), err)
	}
	return out.close()
}

// inode identifies a file that has more than one name.
type inode struct{ device, number uint64 }

// sink takes what a packer finds: a stream, or another tree.
type sink interface {
	// header takes what has no content.
	header(h *header) error
	// content takes a file from a reader.
	content(h header, size int64, from io.Reader) error
	// file takes a regular file of the tree.
	file(h header, entry Entry) error
}

// packer goes through a tree and decides what of it goes along.
type packer struct {
	options PackOptions
	to      sink
	links   map[inode]string
}

func (p *packer) tree(ctx context.Context, root *os.File) error {
	if p.options.Root {
		if err := p.root(root); err != nil {
			return err
		}
	}
	return Walk(ctx, root, p.visit)
}

func (p *packer) root(dir *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &stat); err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	name := p.options.Prefix
	if name == "" {
		name = "./"
	}
	return p.to.header(&header{kind: tar.TypeDir, name: name, mode: p.mode(stat), seconds: stat.Mtim.Sec, nanos: stat.Mtim.Nsec})
}

// mode is what the stream says of the permissions.
func (p *packer) mode(stat unix.Stat_t) uint32 {
	if p.options.Special {
		return stat.Mode & 0o7777
	}
	return stat.Mode & 0o777
}

func (p *packer) visit(entry Entry) error {
	if p.options.Visit != nil {
		if err := p.options.Visit(entry); err != nil {
			return err
		}
	}
	header := header{
		name:    p.options.Prefix + entry.Path,
		mode:    p.mode(entry.Stat),
		seconds: entry.Stat.Mtim.Sec,
		nanos:   entry.Stat.Mtim.Nsec,
	}
	kind := entry.Kind()
	switch kind {
	case unix.S_IFDIR:
		header.kind, header.name = tar.TypeDir, header.name+"/"
		return p.to.header(&header)
	case unix.S_IFLNK:
		target, err := readlink(entry)
		if err != nil {
			return err
		}
		header.kind, header.link = tar.TypeSymlink, target
		return p.to.header(&header)
	case unix.S_IFREG:
		return p.file(entry, header)
	}
	if !p.options.Special {
		return nil
	}
	header.kind = tar.TypeFifo
	switch kind {
	case unix.S_IFCHR:
		header.kind = tar.TypeChar
	case unix.S_IFBLK:
		header.kind = tar.TypeBlock
	}
	return p.to.header(&header)
}

func (p *packer) file(entry Entry, header header) error {
	header.kind = tar.TypeReg
	if p.options.Content != nil {
		content, replace, err := p.options.Content(entry.Path)
		if err != nil {
			return err
		}
		if replace {
			return p.to.content(header, int64(len(content)), bytes.NewReader(content))
		}
	}
	if entry.Stat.Nlink > 1 {
		id := inode{entry.Stat.Dev, entry.Stat.Ino}
		if first, ok := p.links[id]; ok {
			header.kind, header.link = tar.TypeLink, first
			return p.to.header(&header)
		}
		p.links[id] = header.name
	}
	return p.to.file(header, entry)
}

// openEntry opens a regular file of a walk, and says what it is by now.
func openEntry(parent int, name, path string) (fd int, stat unix.Stat_t, err error) {
	// Not blocking: the name may be a FIFO by now.
	fd, err = openat(parent, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
		return -1, stat, fmt.Errorf("%s was replaced while it was copied, try again: %w", path, err)
	}
	if err != nil {
		return -1, stat, fmt.Errorf("open %s: %w", path, err)
	}
	if err = unix.Fstat(fd, &stat); err != nil {
		err = fmt.Errorf("look at %s: %w", path, err)
	} else if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s was replaced while it was copied, try again: %w", path, unix.EAGAIN)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, stat, err
	}
	return fd, stat, nil
}

func shrunk(path string) error {
	return fmt.Errorf("%s became shorter while it was copied, try again: %w", path, io.ErrUnexpectedEOF)
}

func readlink(entry Entry) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(entry.parent, entry.name, buffer)
	if err != nil {
		return "", fmt.Errorf("read link %s: %w", entry.Path, err)
	}
	return string(buffer[:n]), nil
}
