package archive

import (
	"archive/tar"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Symlinks say which symbolic links are made of a stream.
type Symlinks int

const (
	// SymlinksAll are made as they stand, wherever they point.
	SymlinksAll Symlinks = iota
	// SymlinksInside are those alone that can't lead out of what is extracted:
	// their targets are relative and climb at their beginning only, not above
	// the root. The others are left out. They are made last.
	SymlinksInside
)

// waiting is a symbolic link that is made once all else is there.
type waiting struct {
	path   string
	target string
	time   unix.Timespec
}

// wait keeps a link for the end, and takes away what it stands in place of.
func (e *extractor) wait(header *tar.Header, parts []string) error {
	if !staysInside(header.Linkname, len(parts)-1-e.base()) {
		e.skip(header.Name, "symbolic link that leads outside")
		return nil
	}
	parent, err := e.enter(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(parent, parts[len(parts)-1], 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	link := waiting{path: strings.Join(parts, "/"), target: strings.Clone(header.Linkname), time: timespec(header)}
	if err := e.hold(link.path, link.target); err != nil {
		return err
	}
	e.waiting = append(e.waiting, link)
	return nil
}

// staysInside says that a link in a directory of that depth can't lead out,
// whatever other links of that kind lie on its way: a name before ".." may be
// one, and then ".." is elsewhere than it looks.
func staysInside(target string, depth int) bool {
	if target == "" || strings.HasPrefix(target, "/") || depth < 0 {
		return false
	}
	named := false
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			named = true
		case named || depth == 0:
			return false
		default:
			depth--
		}
	}
	return true
}

// finishSymlinks makes the links, the last first: what came later in the stream
// has the name.
func (e *extractor) finishSymlinks() error {
	for i := len(e.waiting) - 1; i >= 0; i-- {
		link := e.waiting[i]
		parts := strings.Split(link.path, "/")
		parent, err := e.enter(parts[:len(parts)-1])
		if err == nil {
			err = e.makeSymlink(parent, parts[len(parts)-1], link.target, link.time)
		}
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			e.skip(link.path, "symbolic link whose name is taken")
			continue
		}
		if err != nil {
			return extracting(link.path, err)
		}
	}
	return nil
}

func (e *extractor) makeSymlink(parent int, name, target string, when unix.Timespec) error {
	if err := unix.Symlinkat(target, parent, name); err != nil {
		return err
	}
	if !e.owned {
		if err := unix.Fchownat(parent, name, e.options.UID, e.options.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	e.summary.Files++
	return unix.UtimesNanoAt(parent, name, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
}
