package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

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
	done := finished{strings.Join(parts, "/"), mode(header), timespec(header)}
	if err := e.hold(done.path); err != nil {
		return err
	}
	e.directories = append(e.directories, done)
	e.summary.Files++
	return nil
}

// finished is what a directory gets once nothing more is put into it.
type finished struct {
	path string
	mode uint32
	time unix.Timespec
}

// finishDirectories sets modes and times, the deepest first, once nothing more
// changes them.
func (e *extractor) finishDirectories() error {
	for i := len(e.directories) - 1; i >= 0; i-- {
		done := e.directories[i]
		if err := e.finish(done); err != nil {
			return extracting(done.path, err)
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
	return setTime(fd, done.time)
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
	e.summary.Files++
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

// fill writes the content and finishes the file.
func (e *extractor) fill(fd int, header *tar.Header, content io.Reader) error {
	written, err := e.copy(fd, content)
	if err != nil {
		return err
	}
	e.summary.Bytes += written
	return e.finishFile(fd, mode(header), timespec(header))
}

// finishFile sets what a write would change.
func (e *extractor) finishFile(fd int, mode uint32, when unix.Timespec) error {
	if !e.owned {
		if err := unix.Fchown(fd, e.options.UID, e.options.GID); err != nil {
			return err
		}
	}
	if mode&e.umask != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	return setTime(fd, when)
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
	if e.options.Symlinks == SymlinksInside {
		return e.wait(header, parts)
	}
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	return replacing(parent, name, func() error { return e.makeSymlink(parent, name, header.Linkname, timespec(header)) })
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
	if slices.Equal(target, parts) {
		return nil // replacing it by itself would lose it
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
	name, of := parts[len(parts)-1], target[len(target)-1]
	if e.options.Symlinks == SymlinksInside {
		kept, err := isRegular(from, of)
		if err != nil {
			return err
		}
		if !kept {
			e.skip(header.Name, "hard link to what is no regular file")
			return nil
		}
	}
	if err := replacing(parent, name, func() error { return unix.Linkat(from, of, parent, name, 0) }); err != nil {
		return err
	}
	e.summary.Files++
	return nil
}

// isRegular is asked before a name is linked: a symbolic link that has it would
// lead elsewhere from its second place.
func isRegular(parent int, name string) (bool, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(parent, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return stat.Mode&unix.S_IFMT == unix.S_IFREG, err
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
