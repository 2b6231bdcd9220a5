package relaytest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxFrame is the most that either end may send in a frame.
const maxFrame = 1<<24 - 1

// errStruck ends a link at which was struck.
var errStruck = errors.New("struck")

// link is one connection of HTTP/2, whose frames are passed on as they are.
type link struct {
	relay          *Relay
	client, daemon net.Conn
	pid            int

	mu    sync.Mutex
	begun map[uint32]Call // by stream
}

// requests carries what the client says.
func (l *link) requests() error {
	if _, err := io.CopyN(l.daemon, l.client, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	var seen bytes.Buffer
	framer := http2.NewFramer(nil, io.TeeReader(l.client, &seen))
	framer.SetMaxReadFrameSize(maxFrame)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if headers, ok := frame.(*http2.MetaHeadersFrame); ok {
			if err := l.begins(headers); err != nil {
				return err
			}
		}
		if _, err := l.daemon.Write(seen.Bytes()); err != nil {
			return err
		}
		seen.Reset()
	}
}

// answers carries what the daemon says.
func (l *link) answers() error {
	var seen bytes.Buffer
	framer := http2.NewFramer(nil, io.TeeReader(l.daemon, &seen))
	framer.SetMaxReadFrameSize(maxFrame)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if ends(frame) {
			if err := l.ended(frame.Header().StreamID); err != nil {
				return err
			}
		}
		if _, err := l.client.Write(seen.Bytes()); err != nil {
			return err
		}
		seen.Reset()
	}
}

// begins notes a call, and strikes when it is time.
func (l *link) begins(headers *http2.MetaHeadersFrame) error {
	call := Call{Method: headers.PseudoValue("path"), PID: l.pid}
	point := l.relay.begins(&call)
	l.mu.Lock()
	l.begun[headers.StreamID] = call
	l.mu.Unlock()
	return l.strike(point, call)
}

func (l *link) ended(stream uint32) error {
	l.mu.Lock()
	call := l.begun[stream]
	delete(l.begun, stream)
	l.mu.Unlock()
	return l.strike(l.relay.ended(call), call)
}

func (l *link) strike(point *Point, call Call) error {
	if point == nil {
		return nil
	}
	defer l.relay.strikes.Done()
	point.Strike(call)
	return errStruck
}

// ends says that a frame is the last of its stream.
func ends(frame http2.Frame) bool {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		return frame.StreamEnded()
	case *http2.DataFrame:
		return frame.StreamEnded()
	case *http2.RSTStreamFrame:
		return true
	default:
		return false
	}
}
