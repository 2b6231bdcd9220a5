package egress

import (
	"bytes"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// scanner passes bytes on, but breaks off before a secret in any of its forms: an answer that holds
// it never gets through. It holds back no more than what could be the secret's
// beginning, so that streamed events are not delayed.
type scanner struct {
	from   io.ReadCloser
	forms  [][]byte
	buffer []byte // read, not yet passed on
	clear  int    // how much of buffer may go
	err    error
}

func newScanner(from io.ReadCloser, forms ...string) *scanner {
	s := &scanner{from: from}
	for _, form := range forms {
		s.forms = append(s.forms, []byte(form))
	}
	return s
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
	if at := s.find(); at >= 0 {
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

// find is where the first form begins, or -1.
func (s *scanner) find() int {
	first := -1
	for _, form := range s.forms {
		if at := bytes.Index(s.buffer, form); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

// heldBack is the length of the longest end of the buffer that begins a form.
func (s *scanner) heldBack() int {
	longest := 0
	for _, form := range s.forms {
		for length := min(len(form)-1, len(s.buffer)); length > longest; length-- {
			if bytes.HasSuffix(s.buffer, form[:length]) {
				longest = length
			}
		}
	}
	return longest
}

// Close implements io.Closer.
func (s *scanner) Close() error { return s.from.Close() }
