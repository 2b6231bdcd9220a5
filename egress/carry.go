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
	var all int64
	buffer := make([]byte, checkedSize)
	for g.next != nil || len(g.pending) > 0 {
		n, err := g.Read(buffer)
		if n > 0 {
			written, writeErr := w.Write(buffer[:n])
			all += int64(written)
			if writeErr != nil {
				return all, writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
	n, err := g.copy(w, g.Conn)
	g.sent.Add(n)
	return all + n, err
}

// ReadFrom implements io.ReaderFrom, for what goes to the bottle. The server may
// speak before the bottle has said what this is to be: until then all of it
// passes through Write.
func (g *guard) ReadFrom(r io.Reader) (int64, error) {
	var all int64
	buffer := make([]byte, checkedSize)
	for !g.passing.Load() {
		n, err := r.Read(buffer)
		if n > 0 {
			written, writeErr := g.Write(buffer[:n])
			all += int64(written)
			if writeErr != nil {
				return all, writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
	n, err := g.copy(g.Conn, r)
	g.received.Add(n)
	return all + n, err
}
