package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
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
	e := &extractor{
		options: options, stack: []directory{{fd: int(dir.Fd())}}, buffer: make([]byte, 128<<10),
		umask: umask(), owned: options.UID == os.Geteuid() && options.GID == os.Getegid(),
	}
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
	umask       uint32
	owned       bool // what is made belongs to the right user from the start
}

// umask is what the process takes off the mode of new files. Where it can't be
// read, it counts as taking everything.
func umask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o777
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
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
	if e.owned {
		return nil
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
