package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/errdefs"
)

// SiftOptions say what becomes of a stream that is passed on.
type SiftOptions struct {
	Options
	// Single says that the stream holds one file or one directory: its name is
	// taken off every path.
	Single bool
	// Name is a name that stands before every path instead; "" is none.
	Name string
}

// Sift passes a tar stream on, written anew, but for what Extract would refuse or
// leave out. A stream without its end, or one that is refused, is an error, and
// what was written has no end either.
func Sift(ctx context.Context, w io.Writer, r io.Reader, options SiftOptions) (Summary, error) {
	buffered := bufio.NewWriterSize(w, 256<<10)
	s := &sifter{
		extractor: extractor{options: options.Options, single: options.Single, buffer: make([]byte, 128<<10)},
		name:      options.Name, out: newWriter(buffered), links: map[string]bool{},
	}
	if err := s.run(ctx, r); err != nil {
		return s.summary, err
	}
	if err := s.out.close(); err != nil {
		return s.summary, err
	}
	return s.summary, buffered.Flush()
}

// sifter is an extractor whose entries go into another stream.
type sifter struct {
	extractor
	name  string
	out   *writer
	links map[string]bool // symbolic links so far, when they matter
}

func (s *sifter) run(ctx context.Context, r io.Reader) error {
	if s.name != "" && !s.single {
		if err := s.out.header(&header{kind: tar.TypeDir, name: s.name + "/", mode: 0o755}); err != nil {
			return err
		}
	}
	if err := each(ctx, r, s.entry); err != nil {
		return err
	}
	if s.single && s.only == "" {
		return fmt.Errorf("nothing came: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

func (s *sifter) entry(from *tar.Header, content io.Reader) error {
	parts, err := s.admit(from)
	if err != nil || len(parts) == 0 {
		return err
	}
	name := s.rename(parts)
	if name == "" && from.Typeflag == tar.TypeDir {
		return nil // what it holds has no name before it
	}
	if name == "" {
		return fmt.Errorf("it is no directory: %w", errdefs.ErrInvalidArgument)
	}
	to := header{
		kind: from.Typeflag, name: name, mode: mode(from),
		seconds: from.ModTime.Unix(), nanos: int64(from.ModTime.Nanosecond()),
	}
	switch from.Typeflag {
	case tar.TypeDir:
		to.name += "/"
	case tar.TypeReg, tar.TypeGNUSparse:
		to.kind, to.size = tar.TypeReg, from.Size
		return s.content(&to, content)
	case tar.TypeSymlink:
		if kept, err := s.symlink(from, parts); !kept {
			return err
		}
		to.link = from.Linkname
	case tar.TypeLink:
		target, kept, err := s.link(from)
		if !kept {
			return err
		}
		to.link = target
	case tar.TypeFifo:
		s.skip(from.Name, "FIFO or socket")
		return nil
	case tar.TypeChar, tar.TypeBlock:
		s.skip(from.Name, "device")
		return nil
	default:
		return fmt.Errorf("entry of type %q: %w", from.Typeflag, errors.ErrUnsupported)
	}
	s.summary.Files++
	return s.out.header(&to)
}

// rename is the path that an entry goes on under.
func (s *sifter) rename(parts []string) string {
	return path.Join(s.name, path.Join(parts[s.base():]...))
}

func (s *sifter) content(to *header, content io.Reader) error {
	if err := s.out.header(to); err != nil {
		return err
	}
	written, err := io.CopyBuffer(struct{ io.Writer }{s.out.out}, content, s.buffer)
	s.summary.Bytes += written
	s.summary.Files++
	if err != nil {
		return fmt.Errorf("content breaks off: %w", err)
	}
	if written != to.size {
		return fmt.Errorf("content breaks off: %w", io.ErrUnexpectedEOF)
	}
	return s.out.pad(to.size)
}

// symlink says whether a link goes on, and remembers its name.
func (s *sifter) symlink(from *tar.Header, parts []string) (bool, error) {
	if s.options.Symlinks != SymlinksInside {
		return true, nil
	}
	if !staysInside(from.Linkname, len(parts)-1-s.base()) {
		s.skip(from.Name, "symbolic link that leads outside")
		return false, nil
	}
	clean := strings.Join(parts, "/")
	if err := s.hold(clean); err != nil {
		return false, err
	}
	s.links[clean] = true
	return true, nil
}

// link says whether a second name goes on, and of what. One of a symbolic link, or
// through one, would lead elsewhere from its place.
func (s *sifter) link(from *tar.Header) (target string, kept bool, err error) {
	parts, err := split(from.Linkname)
	if err != nil {
		return "", false, err
	}
	if len(parts) == 0 {
		return "", false, ErrUnsafe
	}
	kept = !s.leaves(parts) && (!s.single || parts[0] == s.only)
	for i := range parts {
		kept = kept && !s.links[strings.Join(parts[:i+1], "/")]
	}
	if !kept {
		s.skip(from.Name, "hard link to what is left out")
		return "", false, nil
	}
	return s.rename(parts), true, nil
}
