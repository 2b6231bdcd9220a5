package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Options say how a layer is made.
type Options struct {
	// HostID and Size are the range of ids that stood for 0 and up; 0 and 0 is none.
	HostID, Size int
	// Epoch is the newest time that a file may have.
	Epoch time.Time
	// Shadowed are paths that every bottle mounts over: they are left out, with what lies
	// in them, for each runtime makes them in a way of its own. They are written without
	// a slash at either end.
	Shadowed []string
	// Bytes and Entries bound the layer.
	Bytes   int64
	Entries int
}

// Summary is what became of the files.
type Summary struct {
	Entries int
	Bytes   int64
	// Unmarked are files that had a setuid or setgid bit and have none now.
	Unmarked []string
	// Dropped are devices, FIFOs and sockets, which are left out.
	Dropped []string
}

// maxNamed bounds what a summary names.
const maxNamed = 100

// Rewrite reads the difference as containerd writes it, and writes the layer. An
// entry whose name leads out of the tree is an InvalidArgument error, one too many a
// ResourceExhausted error.
func Rewrite(r io.Reader, w io.Writer, options Options) (Summary, error) {
	from, to := tar.NewReader(r), tar.NewWriter(w)
	l := rewriter{options: options, dropped: map[string]bool{}}
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return l.summary, fmt.Errorf("read difference: %w", err)
		}
		made, err := l.entry(header)
		if err != nil {
			return l.summary, err
		}
		if made == nil {
			continue
		}
		if err := to.WriteHeader(made); err != nil {
			return l.summary, fmt.Errorf("write layer: %w", err)
		}
		if _, err := io.CopyN(to, from, made.Size); err != nil {
			return l.summary, fmt.Errorf("write layer: %w", err)
		}
	}
	if err := to.Close(); err != nil {
		return l.summary, fmt.Errorf("write layer: %w", err)
	}
	return l.summary, nil
}

type rewriter struct {
	options Options
	summary Summary
	dropped map[string]bool
}

// entry is the entry of the layer that stands for one of the difference; nil leaves
// it out. Extended attributes, names of users, and all times but one are not taken
// over.
func (l *rewriter) entry(header *tar.Header) (*tar.Header, error) {
	name, err := inside(header.Name)
	if err != nil || name == "" || l.shadowed(name) {
		return nil, err
	}
	made := &tar.Header{
		Typeflag: header.Typeflag, Name: name, Mode: header.Mode & 0o7777, Format: tar.FormatPAX,
		Uid: l.id(header.Uid), Gid: l.id(header.Gid), ModTime: l.time(header.ModTime),
	}
	switch header.Typeflag {
	case tar.TypeReg:
		made.Size = header.Size
		l.unmark(made)
	case tar.TypeDir:
		made.Name += "/"
	case tar.TypeSymlink:
		made.Linkname = header.Linkname
	case tar.TypeLink:
		if made.Linkname, err = inside(header.Linkname); err != nil {
			return nil, err
		}
		if l.dropped[made.Linkname] || l.shadowed(made.Linkname) {
			l.drop(name)
			return nil, nil
		}
		made.Mode &^= 0o6000
	default:
		l.drop(name)
		return nil, nil
	}
	return made, l.count(made)
}

func (l *rewriter) count(made *tar.Header) error {
	l.summary.Entries++
	l.summary.Bytes += made.Size
	switch {
	case l.options.Entries > 0 && l.summary.Entries > l.options.Entries:
		return fmt.Errorf("the step leaves more than %d files: %w", l.options.Entries, errdefs.ErrResourceExhausted)
	case l.options.Bytes > 0 && l.summary.Bytes > l.options.Bytes:
		return fmt.Errorf("the step leaves more than %d bytes: %w", l.options.Bytes, errdefs.ErrResourceExhausted)
	}
	return nil
}

// unmark takes the bits off that mean nothing in a bottle: no program gains by them
// under no_new_privs.
func (l *rewriter) unmark(made *tar.Header) {
	if made.Mode&0o6000 == 0 {
		return
	}
	made.Mode &^= 0o6000
	if len(l.summary.Unmarked) < maxNamed {
		l.summary.Unmarked = append(l.summary.Unmarked, made.Name)
	}
}

func (l *rewriter) drop(name string) {
	l.dropped[name] = true
	if len(l.summary.Dropped) < maxNamed {
		l.summary.Dropped = append(l.summary.Dropped, name)
	}
}

func (l *rewriter) shadowed(name string) bool {
	for _, path := range l.options.Shadowed {
		if name == path || strings.HasPrefix(name, path+"/") {
			return true
		}
	}
	return false
}

// id is the id inside of one on the host.
func (l *rewriter) id(host int) int {
	if inside := host - l.options.HostID; l.options.Size > 0 && inside >= 0 && inside < l.options.Size {
		return inside
	}
	return host
}

func (l *rewriter) time(of time.Time) time.Time {
	of = of.Truncate(time.Second)
	if of.After(l.options.Epoch) {
		return l.options.Epoch
	}
	return of
}

// inside is the name in its shortest form; "" is the root itself.
func inside(name string) (string, error) {
	clean := path.Clean("/" + name)[1:]
	if strings.ContainsRune(name, 0) || clean != strings.TrimPrefix(path.Clean(name), "/") && clean != "" {
		return "", fmt.Errorf("the difference holds %q: %w", name, errdefs.ErrInvalidArgument)
	}
	return clean, nil
}
