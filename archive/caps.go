package archive

import (
	"archive/tar"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Caps bound what a stream may hold. Zero is no bound, but that no path is more
// than 512 directories deep. A breach ends the extraction with an error of kind
// ResourceExhausted that names the cap. Time is bounded by the context. There is
// no cap on how far content may grow when it is decompressed, for compressed
// streams are refused.
type Caps struct {
	// Bytes is what regular files hold together, those that are left out too. A
	// hole counts like content.
	Bytes int64
	// Entries are files of any kind, those that are left out too.
	Entries int
	// Depth is how many names a path may have.
	Depth int
	// Name is how many bytes a path, or the target of a link, may have.
	Name int
	// Held are the bytes of the names that are kept in memory until the end:
	// those of directories and of symbolic links.
	Held int64
}

// CopyCaps are for what a user copies.
func CopyCaps(bytes int64, entries int) Caps {
	return Caps{Bytes: bytes, Entries: entries, Depth: maxDepth, Name: 4096, Held: 32 << 20}
}

// Skipped is something of a stream that was left out.
type Skipped struct {
	Path string
	Kind string // what it is: "FIFO", "extended attributes"
}

// String implements fmt.Stringer. The path is quoted.
func (s Skipped) String() string { return fmt.Sprintf("%q (%s)", s.Path, s.Kind) }

// maxSkipped bounds the entries that are named.
const maxSkipped = 1000

// skip notes what is left out. An entry stays in memory, so its name is cut.
func (e *extractor) skip(name, kind string) {
	e.summary.SkippedCount++
	if len(e.summary.Skipped) < maxSkipped {
		e.summary.Skipped = append(e.summary.Skipped, Skipped{Path: strings.Clone(name[:min(len(name), 4096)]), Kind: kind})
	}
}

// leaves says that an entry is left out, and names what it lies in, once.
func (e *extractor) leaves(parts []string) bool {
	if e.options.Leave == nil {
		return false
	}
	for i := min(e.base(), len(parts)); i < len(parts); i++ {
		if kind := e.options.Leave(parts[i]); kind != "" {
			if left := strings.Join(parts[:i+1], "/"); left != e.left {
				e.left = left
				e.skip(left, kind)
			}
			return true
		}
	}
	return false
}

// within checks an entry before anything is made of it.
func (e *extractor) within(header *tar.Header, parts []string) error {
	caps := e.options.Caps
	size := contentSize(header)
	longest := max(len(header.Name), len(header.Linkname))
	switch {
	case caps.Entries > 0 && e.entries >= caps.Entries:
		return breach("entries", int64(caps.Entries))
	case caps.Depth > 0 && len(parts) > caps.Depth:
		return breach("depth", int64(caps.Depth))
	case caps.Name > 0 && longest > caps.Name:
		return breach("bytes in a name", int64(caps.Name))
	case size < 0:
		return fmt.Errorf("its size is negative: %w", errdefs.ErrInvalidArgument)
	case caps.Bytes > 0 && size > caps.Bytes-e.summary.Bytes-e.passed:
		return breach("bytes", caps.Bytes)
	}
	return nil
}

// hold counts what stays in memory until the end.
func (e *extractor) hold(names ...string) error {
	const perEntry = 96 // of the lists themselves
	e.held += perEntry
	for _, name := range names {
		e.held += int64(len(name))
	}
	if e.options.Caps.Held > 0 && e.held > e.options.Caps.Held {
		return breach("bytes of names of directories and links", e.options.Caps.Held)
	}
	return nil
}

func breach(what string, most int64) error {
	return fmt.Errorf("the stream holds more than its cap of %s, %d: %w", what, most, errdefs.ErrResourceExhausted)
}

// special notes what an entry would have besides its content.
func (e *extractor) special(header *tar.Header) {
	if header.Mode&0o7000 != 0 && header.Typeflag != tar.TypeSymlink {
		e.skip(header.Name, "setuid, setgid or sticky bit")
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") || strings.HasPrefix(key, "LIBARCHIVE.xattr.") {
			e.skip(header.Name, "extended attributes")
			return
		}
	}
}
