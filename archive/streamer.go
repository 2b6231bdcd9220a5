package archive

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// streamer is the sink that writes a tar stream.
type streamer struct {
	out    *writer
	done   func(bytes int64)
	buffer []byte
	bytes  int64
}

func newStreamer(w io.Writer, options PackOptions) *streamer {
	return &streamer{out: newWriter(w), done: options.Done, buffer: make([]byte, 128<<10)}
}

func (s *streamer) header(h *header) error { return s.out.header(h) }

func (s *streamer) close() error { return s.out.close() }

func (s *streamer) file(h header, entry Entry) error {
	fd, stat, err := openEntry(entry.parent, entry.name, entry.Path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return s.content(h, stat.Size, descriptor(fd))
}

func (s *streamer) content(h header, size int64, from io.Reader) error {
	h.size = size
	if err := s.out.header(&h); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := from.Read(s.buffer[:min(left, int64(len(s.buffer)))])
		if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
			return shrunk(h.name)
		}
		if n > 0 {
			if err := s.out.write(s.buffer[:n]); err != nil {
				return err
			}
			left -= int64(n)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", h.name, err)
		}
	}
	s.bytes += size
	if s.done != nil {
		s.done(s.bytes)
	}
	return s.out.pad(size)
}

// descriptor reads a file without the cost of an os.File.
type descriptor int

// Read implements io.Reader.
func (d descriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
