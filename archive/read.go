package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
)

// maxHeaders bounds the headers of one entry, and maxPadding what may follow the
// end of a stream: neither shows anywhere, so no other cap would end it.
const (
	maxHeaders = 4 << 20
	maxPadding = 16 << 20
)

// each reads a stream from its beginning to its end and has every entry taken in
// turn. What take leaves unread of an entry is read away. A stream without its end
// is an error: one that was cut between two entries looks like one that ended, but
// for the block of zeros.
func each(ctx context.Context, r io.Reader, take func(header *tar.Header, content io.Reader) error) error {
	buffered := bufio.NewReaderSize(until(ctx, r), 256<<10)
	first, _ := buffered.Peek(blockSize) // a short stream shows below
	magic := string(first[:min(len(first), 8)])
	metered := &meter{from: buffered}
	stream := tar.NewReader(metered)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entry, err := metered.next(stream)
		switch {
		case errors.Is(err, io.EOF) && metered.zeros < blockSize:
			return fmt.Errorf("read tar stream: its end is missing: %w", io.ErrUnexpectedEOF)
		case errors.Is(err, io.EOF):
			return readPadding(buffered)
		case err != nil:
			return fmt.Errorf("read tar stream: %w", notTar(magic, err))
		}
		err = take(entry, stream)
		if err == nil {
			err = readAway(ctx, stream)
		}
		if err != nil {
			return extracting(entry.Name, err)
		}
	}
}

// readAway reads what is left of an entry's content: as content, for the next header
// would count it as its own.
func readAway(ctx context.Context, content io.Reader) error {
	const piece = 1 << 20 // holes come without a read that ctx could end
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, err := io.CopyN(io.Discard, content, piece)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("content breaks off: %w", err)
		}
	}
}

// readPadding reads what the writer has put behind the end: it must not find its pipe
// closed, and only after that it says that the stream was whole.
func readPadding(rest io.Reader) error {
	n, err := io.CopyN(io.Discard, rest, maxPadding+1)
	switch {
	case n > maxPadding:
		return fmt.Errorf("read tar stream: %w", breach("bytes after its end", maxPadding))
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read tar stream: %w", err)
	default:
		return nil
	}
}

// contentSize is how much content an entry comes with, in bytes.
func contentSize(header *tar.Header) int64 {
	if header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeGNUSparse {
		return header.Size
	}
	return 0
}

// extracting says which entry an error is about. A name of a stream can be long.
func extracting(name string, err error) error {
	const most = 256
	if len(name) > most {
		name = name[:most] + "..."
	}
	return fmt.Errorf("extract %q: %w", name, err)
}

// meter counts what is read. Between an entry's content and the next entry, it
// lets only so much pass.
type meter struct {
	from  io.Reader
	left  int64
	zeros int  // how many bytes of zero the headers end with
	free  bool // content is read
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if m.free {
		return m.from.Read(p)
	}
	if m.left <= 0 {
		return 0, breach("bytes in headers", maxHeaders)
	}
	n, err := m.from.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	if rest := len(bytes.TrimRight(p[:n], "\x00")); rest > 0 {
		m.zeros = n - rest
	} else {
		m.zeros += n
	}
	return n, err
}

// next reads the header of the next entry.
func (m *meter) next(stream *tar.Reader) (*tar.Header, error) {
	m.free, m.left, m.zeros = false, maxHeaders, 0
	defer func() { m.free = true }()
	return stream.Next()
}

// notTar says what a stream is that is none, by its first bytes.
func notTar(first string, err error) error {
	if !errors.Is(err, tar.ErrHeader) {
		return err
	}
	for magic, kind := range map[string]string{
		"\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "BZh": "bzip2", "\xfd7zXZ": "xz", "PK\x03\x04": "zip",
	} {
		if strings.HasPrefix(first, magic) {
			return fmt.Errorf("the stream is compressed by %s, give a plain tar: %w", kind, errdefs.ErrInvalidArgument)
		}
	}
	return err
}
