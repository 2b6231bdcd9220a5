package egress

import (
	"bytes"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// scanner passes bytes on, but breaks off before a secret: an answer that holds
// it never gets through. It holds back no more than what could be the secret's
// beginning, so that streamed events are not delayed.
type scanner struct {
	from   io.ReadCloser
	secret []byte
	buffer []byte // read, not yet passed on
	clear  int    // how much of buffer may go
	err    error
}

func newScanner(from io.ReadCloser, secret string) *scanner {
	return &scanner{from: from, secret: []byte(secret)}
}

// Read implements io.Reader.
func (s *scanner) Read(p []byte) (int, error) {
	for s.clear == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.fill(len(p))
	}
	n := copy(p, s.buffer[:s.clear])
	s.buffer, s.clear = s.buffer[n:], s.clear-n
	return n, nil
}

// fill reads more and says how much of it is clear.
func (s *scanner) fill(most int) {
	chunk := make([]byte, max(most, 4096))
	n, err := s.from.Read(chunk)
	s.buffer = append(s.buffer, chunk[:n]...)
	if at := bytes.Index(s.buffer, s.secret); at >= 0 {
		s.buffer, s.clear = s.buffer[:at], at
		s.err = fmt.Errorf("the answer holds the credential: %w", errdefs.ErrPermissionDenied)
		return
	}
	if err != nil {
		s.clear, s.err = len(s.buffer), err
		return
	}
	s.clear = len(s.buffer) - s.heldBack()
}

// heldBack is the length of the longest end of the buffer that begins the secret.
func (s *scanner) heldBack() int {
	for length := min(len(s.secret)-1, len(s.buffer)); length > 0; length-- {
		if bytes.HasSuffix(s.buffer, s.secret[:length]) {
			return length
		}
	}
	return 0
}

// Close implements io.Closer.
func (s *scanner) Close() error { return s.from.Close() }
