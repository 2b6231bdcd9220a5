package supervise

import (
	"context"
	"io"
	"sync"
)

// input is what a user types, for one session after the other: a read of a terminal
// can't be broken off, and what comes next belongs to who is there then.
type input struct {
	wants  chan struct{} // a read that somebody waits for
	pieces chan []byte   // closed at the end of what is typed

	mu    sync.Mutex // held by the one who reads
	asked bool       // for the next piece
	rest  []byte     // of the last piece
}

// newInput reads from until ctx ends; a read that is under way then is not waited for.
// It reads when a session does, and not ahead: keys that leave the session are found
// when what was typed before them has been passed on. Nil is no input.
func newInput(ctx context.Context, from io.Reader) *input {
	if from == nil {
		return nil
	}
	in := &input{wants: make(chan struct{}, 1), pieces: make(chan []byte)}
	go func() {
		defer close(in.pieces)
		for {
			select {
			case <-in.wants:
			case <-ctx.Done():
				return
			}
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			select {
			case in.pieces <- buffer[:n]:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return in
}

// reader reads until ctx ends; there is one at a time.
func (in *input) reader(ctx context.Context) io.Reader {
	if in == nil {
		return nil
	}
	return inputReader{in, ctx.Done()}
}

type inputReader struct {
	from *input
	done <-chan struct{}
}

// Read implements io.Reader. What comes as its session ends is the next one's.
func (r inputReader) Read(p []byte) (int, error) {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	for len(r.from.rest) == 0 {
		if !r.from.asked {
			r.from.asked = true
			r.from.wants <- struct{}{} // there is room: one is asked for at a time
		}
		select {
		case piece, ok := <-r.from.pieces:
			if !ok {
				return 0, io.EOF
			}
			r.from.asked, r.from.rest = false, piece
		case <-r.done:
			return 0, io.EOF
		}
	}
	select {
	case <-r.done:
		return 0, io.EOF
	default:
	}
	n := copy(p, r.from.rest)
	r.from.rest = r.from.rest[n:]
	return n, nil
}
