package egress

import (
	"errors"
	"io"
)

// checkedSize is what is read at a time while it is still looked at.
const checkedSize = 8 << 10

// WriteTo implements io.WriterTo: once all is checked, what the bottle sends is
// left to whoever can carry it fastest.
func (g *guard) WriteTo(w io.Writer) (int64, error) {
	all, ended, err := carryWhile(w, g, func() bool { return g.next != nil || len(g.pending) > 0 })
	if ended || err != nil {
		return all, err
	}
	n, err := g.copy(w, g.Conn)
	g.sent.Add(n)
	return all + n, err
}

// ReadFrom implements io.ReaderFrom, for what goes to the bottle. The server may
// speak before the bottle has said what this is to be: until then all of it
// passes through Write.
func (g *guard) ReadFrom(r io.Reader) (int64, error) {
	all, ended, err := carryWhile(g, r, func() bool { return !g.passing.Load() })
	if ended || err != nil {
		return all, err
	}
	n, err := g.copy(g.Conn, r)
	g.received.Add(n)
	return all + n, err
}

// carryWhile copies in small pieces for as long as more says, or until r ends.
func carryWhile(w io.Writer, r io.Reader, more func() bool) (all int64, ended bool, err error) {
	buffer := make([]byte, checkedSize)
	for more() {
		n, err := r.Read(buffer)
		if n > 0 {
			written, writeErr := w.Write(buffer[:n])
			all += int64(written)
			if writeErr != nil {
				return all, false, writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return all, true, nil
		}
		if err != nil {
			return all, false, err
		}
	}
	return all, false, nil
}
