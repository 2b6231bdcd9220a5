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
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say who owns what is extracted.
type Options struct {
	// UID and GID become the owner of every entry; what the stream says is
	// ignored.
	UID, GID int
}

// Summary is what came out of a stream.
type Summary struct {
	Files int   // entries of any kind
	Bytes int64 // of regular files
	// Skipped are the paths of devices, FIFOs and the like.
	Skipped []string
}

// ErrUnsafe says that a stream tried to leave its directory.
var ErrUnsafe = errors.New("the stream names a path outside its directory")

// Extract unpacks a tar stream below dir, and reads it to its end. Permission
// bits, modification times, hard links and holes are kept; setuid, setgid and
// sticky bits, owners and extended attributes are not. No symbolic link is
// followed: a path that leads through one, or out of dir, ends the extraction
// with ErrUnsafe or the kernel's ELOOP or ENOTDIR. What was unpacked until an
// error stays.
func Extract(ctx context.Context, dir *os.File, r io.Reader, options Options) (Summary, error) {
	e := &extractor{options: options, stack: []directory{{fd: int(dir.Fd())}}, buffer: make([]byte, 128<<10)}
	defer e.closeStack()
	buffered := bufio.NewReaderSize(r, 256<<10)
	stream := tar.NewReader(buffered)
	for {
		if err := ctx.Err(); err != nil {
			return e.summary, context.Cause(ctx)
		}
		entry, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return e.summary, fmt.Errorf("read tar stream: %w", err)
		}
		if err := e.entry(entry, stream); err != nil {
			return e.summary, fmt.Errorf("extract %q: %w", entry.Name, err)
		}
	}
	if err := e.finishDirectories(); err != nil {
		return e.summary, err
	}
	// Padding of the writer's: it must not find its pipe closed.
	if _, err := io.Copy(io.Discard, buffered); err != nil {
		return e.summary, fmt.Errorf("read tar stream: %w", err)
	}
	return e.summary, nil
}

// directory is one that is open, on the way to the entry at hand.
type directory struct {
	name string
	fd   int
}

// finished is what a directory gets once nothing more is put into it.
type finished struct {
	path string
	mode uint32
	time unix.Timespec
}

type extractor struct {
	options Options
	// stack is the chain of open directories from the root to the parent of
	// the last entry: a stream goes through a tree in its order, so that
	// most entries need no lookup.
	stack       []directory
	directories []finished
	buffer      []byte
	summary     Summary
}

func (e *extractor) entry(header *tar.Header, content io.Reader) error {
	parts, err := split(header.Name)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return nil // the root itself
	}
	e.summary.Files++
	switch header.Typeflag {
	case tar.TypeDir:
		return e.directory(header, parts)
	case tar.TypeReg, tar.TypeGNUSparse:
		return e.file(header, parts, content)
	case tar.TypeSymlink:
		return e.symlink(header, parts)
	case tar.TypeLink:
		return e.link(header, parts)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		e.summary.Skipped = append(e.summary.Skipped, header.Name)
		return nil
	default:
		return fmt.Errorf("entry of type %q: %w", header.Typeflag, errors.ErrUnsupported)
	}
}

// split takes a path apart. Absolute ones and those that climb are refused, not
// bent: they are no accident.
func split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return nil, ErrUnsafe
	}
	clean := path.Clean(name)
	if clean == "." {
		return nil, nil
	}
	parts := strings.Split(clean, "/")
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return nil, ErrUnsafe
		}
	}
	if len(parts) > maxDepth {
		return nil, fmt.Errorf("more than %d directories deep: %w", maxDepth, unix.ENAMETOOLONG)
	}
	return parts, nil
}

// enter makes the stack end in the directory of that path, and returns its
// descriptor. Directories that the stream did not name are made.
func (e *extractor) enter(parts []string) (int, error) {
	common := 0
	for common < len(parts) && common+1 < len(e.stack) && e.stack[common+1].name == parts[common] {
		common++
	}
	e.pop(common + 1)
	for _, part := range parts[common:] {
		fd, err := e.step(e.stack[len(e.stack)-1].fd, part)
		if err != nil {
			return -1, err
		}
		e.stack = append(e.stack, directory{part, fd})
	}
	return e.stack[len(e.stack)-1].fd, nil
}

// step opens one directory below another.
func (e *extractor) step(parent int, name string) (int, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY
	fd, err := openat(parent, name, flags)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := e.mkdir(parent, name); err != nil {
		return -1, err
	}
	return openat(parent, name, flags)
}

func (e *extractor) mkdir(parent int, name string) error {
	if err := unix.Mkdirat(parent, name, 0o755); err != nil {
		return err
	}
	return unix.Fchownat(parent, name, e.options.UID, e.options.GID, unix.AT_SYMLINK_NOFOLLOW)
}

// pop closes the open directories above the given depth.
func (e *extractor) pop(depth int) {
	for len(e.stack) > depth {
		_ = unix.Close(e.stack[len(e.stack)-1].fd)
		e.stack = e.stack[:len(e.stack)-1]
	}
}

func (e *extractor) closeStack() { e.pop(1) } // the root is the caller's

func (e *extractor) directory(header *tar.Header, parts []string) error {
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	if err := e.mkdir(parent, name); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	// Opened at once, so that a link of that name is refused here.
	if _, err := e.enter(parts); err != nil {
		return err
	}
	e.directories = append(e.directories, finished{strings.Join(parts, "/"), mode(header), timespec(header)})
	return nil
}

func (e *extractor) file(header *tar.Header, parts []string, content io.Reader) error {
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	fd, err := e.create(parent, parts[len(parts)-1], mode(header))
	if err != nil {
		return err
	}
	err = e.fill(fd, header, content)
	if closeErr := unix.Close(fd); err == nil && closeErr != nil {
		err = closeErr
	}
	return err
}

// create makes a new file, in place of whatever has that name.
func (e *extractor) create(parent int, name string, mode uint32) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(parent, name, flags, mode)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EEXIST):
			if err := unix.Unlinkat(parent, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				return -1, err
			}
		default:
			return fd, err
		}
	}
}

// fill writes the content and then what a write would change.
func (e *extractor) fill(fd int, header *tar.Header, content io.Reader) error {
	written, err := e.copy(fd, content)
	if err != nil {
		return err
	}
	e.summary.Bytes += written
	if err := unix.Fchown(fd, e.options.UID, e.options.GID); err != nil {
		return err
	}
	// The umask may have taken bits away.
	if err := unix.Fchmod(fd, mode(header)); err != nil {
		return err
	}
	// An empty path means the descriptor itself.
	times := []unix.Timespec{timespec(header), timespec(header)}
	return unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
}

// sparseFrom is the size from which on zeros are looked for.
const sparseFrom = 64 << 10

// copy writes the content, and leaves holes where it is zero.
func (e *extractor) copy(fd int, content io.Reader) (int64, error) {
	var at int64
	hole := false
	for {
		n, err := io.ReadFull(content, e.buffer)
		if chunk := e.buffer[:n]; n > 0 {
			if hole = n >= sparseFrom && allZero(chunk); !hole {
				if err := writeAt(fd, chunk, at); err != nil {
					return at, err
				}
			}
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < len(e.buffer) {
			if tarErr := ended(content); tarErr != nil {
				return at, tarErr
			}
			break
		}
		if err != nil {
			return at, err
		}
	}
	if hole {
		return at, unix.Ftruncate(fd, at)
	}
	return at, nil
}

// ended says whether a short read was the end of the file or of the stream.
func ended(content io.Reader) error {
	var one [1]byte
	_, err := content.Read(one[:])
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("content breaks off: %w", err)
}

func allZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

func writeAt(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

func (e *extractor) symlink(header *tar.Header, parts []string) error {
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	if err := replacing(parent, name, func() error { return unix.Symlinkat(header.Linkname, parent, name) }); err != nil {
		return err
	}
	if err := unix.Fchownat(parent, name, e.options.UID, e.options.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	times := []unix.Timespec{timespec(header), timespec(header)}
	return unix.UtimesNanoAt(parent, name, times, unix.AT_SYMLINK_NOFOLLOW)
}

// link makes a second name for a file of this very stream.
func (e *extractor) link(header *tar.Header, parts []string) error {
	target, err := split(header.Linkname)
	if err != nil {
		return err
	}
	if len(target) == 0 {
		return ErrUnsafe
	}
	from, err := e.enter(target[:len(target)-1])
	if err != nil {
		return err
	}
	// The stack moves on: keep this directory.
	if from, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	defer func() { _ = unix.Close(from) }()
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	return replacing(parent, name, func() error { return unix.Linkat(from, target[len(target)-1], parent, name, 0) })
}

// replacing makes a name, in place of the file that has it.
func replacing(parent int, name string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := unix.Unlinkat(parent, name, 0); err != nil {
		return err
	}
	return create()
}

// finishDirectories sets modes and times, the deepest first, once nothing more
// changes them.
func (e *extractor) finishDirectories() error {
	for i := len(e.directories) - 1; i >= 0; i-- {
		done := e.directories[i]
		if err := e.finish(done); err != nil {
			return fmt.Errorf("extract %q: %w", done.path, err)
		}
	}
	return nil
}

func (e *extractor) finish(done finished) error {
	parts := strings.Split(done.path, "/")
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	fd, err := openat(parent, parts[len(parts)-1], unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Fchmod(fd, done.mode); err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{done.time, done.time}, unix.AT_EMPTY_PATH)
}

func mode(header *tar.Header) uint32 { return uint32(header.Mode) & 0o777 }

func timespec(header *tar.Header) unix.Timespec {
	return unix.Timespec{Sec: header.ModTime.Unix(), Nsec: int64(header.ModTime.Nanosecond())}
}
