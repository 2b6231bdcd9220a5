package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Listed is what a listing says of one file.
type Listed struct {
	Mode  uint32 // type and permissions, as in st_mode
	Size  int64
	Mtime int64 // in nanoseconds since 1970
	// Target is where a symbolic link leads.
	Target string
}

// IsDir says that it is a directory.
func (l Listed) IsDir() bool { return l.Mode&unix.S_IFMT == unix.S_IFDIR }

// A listing begins with its version and ends with the number of its lines: one
// that was cut is never taken for a smaller tree.
const (
	listingName = "claude-bottle listing 1"
	listingEnd  = "end "
)

// WriteListing writes what root holds, one line a file, for ReadListing. What
// skip returns true for is left out, and all below it. A directory that can't be
// read is listed, as if it held nothing.
func WriteListing(ctx context.Context, w io.Writer, root *os.File, skip func(path string) bool) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	count := 0
	_, err := fmt.Fprintln(buffered, listingName)
	if err != nil {
		return fmt.Errorf("write listing: %w", err)
	}
	err = Walk(ctx, root, func(entry Entry) error {
		if skip(entry.Path) {
			return ErrSkip
		}
		target := ""
		if entry.Kind() == unix.S_IFLNK {
			if target, err = readlink(entry); err != nil {
				return err
			}
		}
		s := entry.Stat
		count++
		_, err := fmt.Fprintf(buffered, "%o %d %d %s %s\n", s.Mode, s.Size, s.Mtim.Nano(), strconv.Quote(entry.Path), strconv.Quote(target))
		if err == nil && entry.IsDir() && unreadable(entry) {
			return ErrSkip
		}
		return err
	})
	if err == nil {
		_, err = fmt.Fprintf(buffered, "%s%d\n", listingEnd, count)
	}
	if err != nil {
		return fmt.Errorf("write listing: %w", err)
	}
	return buffered.Flush()
}

func unreadable(entry Entry) bool {
	return errors.Is(unix.Faccessat(entry.parent, entry.name, unix.R_OK|unix.X_OK, 0), unix.EACCES)
}

// Bounds of a listing that is read: who wrote it may be hostile.
const (
	maxListed       = 1_000_000
	maxListingBytes = 256 << 20
	maxListingLine  = 10 * unix.PathMax
)

// ReadListing reads what WriteListing wrote, by path. One that is not whole is an
// error, and so is one that is longer than any honest one.
func ReadListing(r io.Reader) (map[string]Listed, error) {
	limited := &io.LimitedReader{R: r, N: maxListingBytes}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxListingLine)
	listing := map[string]Listed{}
	for number := 0; lines.Scan(); number++ {
		line := lines.Text()
		if number == 0 {
			if line != listingName {
				return nil, errors.New("read listing: it is none")
			}
			continue
		}
		if end, ok := strings.CutPrefix(line, listingEnd); ok {
			if end != strconv.Itoa(len(listing)) || lines.Scan() {
				return nil, errors.New("read listing: its end is wrong")
			}
			return listing, nil
		}
		if len(listing) >= maxListed {
			return nil, fmt.Errorf("read listing: more than %d files: %w", maxListed, errdefs.ErrResourceExhausted)
		}
		path, listed, err := parseListed(line)
		if err != nil {
			return nil, fmt.Errorf("read listing: line %d is garbled: %w", number+1, err)
		}
		if _, twice := listing[path]; twice {
			return nil, fmt.Errorf("read listing: line %d names a file again", number+1)
		}
		listing[path] = listed
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read listing: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("read listing: more than %d bytes: %w", maxListingBytes, errdefs.ErrResourceExhausted)
	}
	return nil, errors.New("read listing: its end is missing")
}

var errGarbled = errors.New("it has other fields than a listing")

func parseListed(line string) (path string, listed Listed, err error) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 4 {
		return "", listed, errGarbled
	}
	mode, modeErr := strconv.ParseUint(fields[0], 8, 32)
	size, sizeErr := strconv.ParseInt(fields[1], 10, 64)
	mtime, timeErr := strconv.ParseInt(fields[2], 10, 64)
	quoted, quoteErr := strconv.QuotedPrefix(fields[3])
	if err := errors.Join(modeErr, sizeErr, timeErr, quoteErr); err != nil {
		return "", listed, err
	}
	path, err = strconv.Unquote(quoted)
	if err != nil {
		return "", listed, err
	}
	target, ok := strings.CutPrefix(fields[3][len(quoted):], " ")
	if !ok {
		return "", listed, errGarbled
	}
	target, err = strconv.Unquote(target)
	if err != nil {
		return "", listed, err
	}
	if parts, err := split(path); err != nil || len(parts) == 0 || strings.Join(parts, "/") != path {
		return "", listed, ErrUnsafe
	}
	return path, Listed{Mode: uint32(mode), Size: size, Mtime: mtime, Target: target}, nil
}
