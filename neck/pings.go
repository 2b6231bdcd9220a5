package neck

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
)

// maxPings is how many pings of a far end may wait for their answers. An honest
// one sends the next when the last was answered.
const maxPings = 16

var errPings = errors.New("more pings than answers are taken")

// pingBound ends a connection whose far end pings without taking the answers:
// each would hold a goroutine, and a far end that never reads could have millions
// of them.
type pingBound struct {
	net.Conn
	read, written heads
	waiting       atomic.Int64
}

// Read implements io.Reader.
func (p *pingBound) Read(data []byte) (int, error) {
	n, err := p.Conn.Read(data)
	p.waiting.Add(p.read.count(data[:n], flagPing))
	if p.waiting.Load() > maxPings {
		return 0, errPings
	}
	return n, err
}

// Write implements io.Writer.
func (p *pingBound) Write(data []byte) (int, error) {
	n, err := p.Conn.Write(data)
	p.waiting.Add(-p.written.count(data[:n], flagAnswer))
	return n, err
}

// How yamux begins its frames: version, type, flags, stream and length.
const (
	headSize   = 12
	typeData   = 0
	typePing   = 2
	flagPing   = 1
	flagAnswer = 2
)

// heads finds the heads of frames in a stream of bytes, however it is cut.
type heads struct {
	head [headSize]byte
	have int    // bytes of head
	body uint32 // bytes of data until the next
}

// count says how many pings with that flag begin in what comes next.
func (h *heads) count(data []byte, flag uint16) (pings int64) {
	for len(data) > 0 {
		if h.body > 0 {
			skipped := min(uint64(h.body), uint64(len(data)))
			h.body -= uint32(skipped)
			data = data[skipped:]
			continue
		}
		taken := copy(h.head[h.have:], data)
		h.have += taken
		data = data[taken:]
		if h.have < headSize {
			break
		}
		h.have = 0
		switch h.head[1] {
		case typeData:
			h.body = binary.BigEndian.Uint32(h.head[8:])
		case typePing:
			if binary.BigEndian.Uint16(h.head[2:])&flag != 0 {
				pings++
			}
		}
	}
	return pings
}
