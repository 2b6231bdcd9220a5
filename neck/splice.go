package neck

import (
	"io"
	"net"
	"sync"
)

// copySize is what is carried at a time where the kernel can't do it by itself.
const copySize = 128 << 10

// Splice carries bytes between two connections, each direction to its own end,
// and closes both when both directions have ended.
func Splice(a, b io.ReadWriteCloser) {
	var group sync.WaitGroup
	group.Go(func() { Carry(a, b) })
	Carry(b, a)
	group.Wait()
	_ = a.Close()
	_ = b.Close()
}

// Carry copies one direction, and passes its end on.
func Carry(to, from io.ReadWriteCloser) {
	_, _ = Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

// Copy is io.Copy that lets the ends that are not bare sockets say how: they
// know when there is nothing between the sockets any more.
func Copy(to io.Writer, from io.Reader) (int64, error) {
	if !bare(from) {
		if source, ok := from.(io.WriterTo); ok {
			return source.WriteTo(to)
		}
	}
	if !bare(to) {
		if sink, ok := to.(io.ReaderFrom); ok {
			return sink.ReadFrom(from)
		}
	}
	if bare(from) && bare(to) {
		return io.Copy(to, from)
	}
	// Hidden, so that no smaller buffer is taken.
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, copySize))
}

// bare says that the kernel has both ends of a connection in its hands.
func bare(end any) bool {
	switch end.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	default:
		return false
	}
}

// WriteTo implements io.WriterTo.
func (s Stream) WriteTo(w io.Writer) (int64, error) { return Copy(w, s.inner()) }

// ReadFrom implements io.ReaderFrom.
func (s Stream) ReadFrom(r io.Reader) (int64, error) { return Copy(s.inner(), r) }

// inner is what carries the bytes.
func (s Stream) inner() net.Conn {
	if own, ok := s.Conn.(*line); ok {
		return own.Conn
	}
	return s.Conn
}
