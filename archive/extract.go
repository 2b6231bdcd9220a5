package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Options say who owns what is extracted, and what is not taken.
type Options struct {
	// UID and GID become the owner of every entry; what the stream says is
	// ignored.
	UID, GID int
	Caps     Caps
	Symlinks Symlinks
	// Leave says why an entry of that name is left out, with all below it, or "".
	// nil leaves nothing out.
	Leave func(name string) string
}

// Summary is what came out of a stream.
type Summary struct {
	Files int   // entries of any kind that were taken
	Bytes int64 // of regular files
	// Skipped names what was left out: devices, FIFOs, symbolic links that lead
	// outside, and special bits and extended attributes of files that were
	// taken without them. Of very many, it holds the first.
	Skipped      []Skipped
	SkippedCount int
}

// ErrUnsafe says that a stream tried to leave its directory.
var ErrUnsafe = errors.New("the stream names a path outside its directory")

// Extract unpacks a tar stream below dir, and reads it to its end. Permission
// bits, modification times, hard links and holes are kept; setuid, setgid and
// sticky bits, owners and extended attributes are not. No symbolic link is
// followed: a path that leads through one, or out of dir, ends the extraction
// with ErrUnsafe or the kernel's ELOOP or ENOTDIR. What was unpacked until an
// error stays; Deliver leaves nothing. The end of ctx ends it, also while r
// stalls: the read that is under way ends when the caller closes r.
func Extract(ctx context.Context, dir *os.File, r io.Reader, options Options) (Summary, error) {
	e := newExtractor(dir, options)
	defer e.closeStack()
	err := e.run(ctx, r)
	return e.summary, err
}

func newExtractor(dir *os.File, options Options) *extractor {
	return &extractor{
		options: options, stack: []directory{{fd: int(dir.Fd())}}, buffer: make([]byte, 128<<10),
		umask: umask(), owned: options.UID == os.Geteuid() && options.GID == os.Getegid(),
	}
}

// run takes the stream from its beginning to its end.
func (e *extractor) run(ctx context.Context, r io.Reader) error {
	if err := each(ctx, r, e.entry); err != nil {
		return err
	}
	if err := e.finishSymlinks(); err != nil {
		return err
	}
	return e.finishDirectories()
}

// directory is one that is open, on the way to the entry at hand.
type directory struct {
	name string
	fd   int
}

type extractor struct {
	options Options
	// stack is the chain of open directories from the root to the parent of
	// the last entry: a stream goes through a tree in its order, so that
	// most entries need no lookup.
	stack       []directory
	directories []finished
	waiting     []waiting
	held        int64 // bytes of the two lists above
	buffer      []byte
	summary     Summary
	entries     int   // of any kind, also what is left out
	passed      int64 // bytes of files that are left out
	umask       uint32
	owned       bool // what is made belongs to the right user from the start
	// single says that all lies below one name, which is only.
	single bool
	only   string
	// left is the last path that Leave has spoken against.
	left string
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
	parts, err := e.admit(header)
	if err != nil || len(parts) == 0 {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return e.directory(header, parts)
	case tar.TypeReg, tar.TypeGNUSparse:
		return e.file(header, parts, content)
	case tar.TypeSymlink:
		return e.symlink(header, parts)
	case tar.TypeLink:
		return e.link(header, parts)
	case tar.TypeChar, tar.TypeBlock:
		e.skip(header.Name, "device")
		return nil
	case tar.TypeFifo:
		e.skip(header.Name, "FIFO or socket")
		return nil
	default:
		return fmt.Errorf("entry of type %q: %w", header.Typeflag, errors.ErrUnsupported)
	}
}

// admit takes the path of an entry apart, or refuses it. Without parts, there is
// nothing to make.
func (e *extractor) admit(header *tar.Header) ([]string, error) {
	parts, err := split(header.Name)
	if err != nil {
		return nil, err
	}
	if err := e.within(header, parts); err != nil {
		return nil, err
	}
	e.entries++
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil, nil // no file
	}
	if len(parts) == 0 {
		if header.Typeflag != tar.TypeDir {
			return nil, ErrUnsafe // it would take the place of the directory
		}
		return nil, nil // it is there, and stays as it is
	}
	if e.single && e.only == "" {
		e.only = strings.Clone(parts[0])
	}
	if e.single && e.only != parts[0] {
		return nil, fmt.Errorf("the stream holds more than one file or directory: %w", errdefs.ErrInvalidArgument)
	}
	if e.leaves(parts) {
		e.passed += contentSize(header)
		return nil, nil
	}
	e.special(header)
	return parts, nil
}

// base is how many directories of a path lie outside of what is extracted.
func (e *extractor) base() int {
	if e.single {
		return 1
	}
	return 0
}

// split takes a path apart. Absolute ones and those that climb are refused, not
// bent: they are no accident.
func split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return nil, ErrUnsafe
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return nil, ErrUnsafe
		}
	}
	clean := path.Clean(name)
	if clean == "." {
		return nil, nil
	}
	parts := strings.Split(clean, "/")
	if len(parts) > maxDepth {
		return nil, breach("depth", maxDepth)
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
