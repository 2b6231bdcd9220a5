package neck

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"
)

// SessionRequest is a command to run in the bottle.
type SessionRequest struct {
	Argv []string `json:"argv"`
	// Env is the whole environment of the command.
	Env []string `json:"env"`
	Dir string   `json:"dir"`
	// TTY gives the command a terminal of its own, of this size.
	TTY  bool `json:"tty"`
	Size Size `json:"size"`
	// NoInput has the command find the end of its input at once.
	NoInput bool `json:"noInput,omitempty"`
	// Keep names a session that goes on without a client: others attach to it by
	// that name, and its end is remembered. "" is one that ends with its client.
	Keep string `json:"keep,omitempty"`
}

// AttachRequest makes its sender a client of a session that is kept.
type AttachRequest struct {
	Name string `json:"name"`
	// From is how many bytes of output the client has had already: what follows them
	// is sent, as far as PID 1 still has it. Negative asks for the screen as it is
	// now, and then what follows; of a session without a terminal for all that is
	// still there.
	From int64 `json:"from"`
	// Size is that of the client's terminal; zero leaves the session's as it is.
	Size Size `json:"size"`
	// ReadOnly takes no input, sizes or signals from this client.
	ReadOnly bool `json:"readOnly,omitempty"`
	// Lossless has the command wait for this client when it is slow; any other
	// client is shown the screen anew when it falls behind.
	Lossless bool `json:"lossless,omitempty"`
}

// Position says where in a session's output what follows begins. It is the first
// frame that a client of a kept session gets, and comes again before a gap.
type Position struct {
	// Offset counts the bytes of output before what follows, from the session's start.
	Offset int64 `json:"offset"`
	// Lost are bytes that the client asked for and PID 1 doesn't have any more.
	Lost int64 `json:"lost,omitempty"`
	TTY  bool  `json:"tty"`
}

// Size is the size of a terminal in character cells.
type Size struct{ Columns, Rows uint16 }

// ExitStatus is how a command ended: its exit code, or 128 and the number of the
// signal that ended it.
type ExitStatus struct {
	Code int `json:"code"`
}

// ErrLinkLost says that a session broke off before the command ended.
var ErrLinkLost = fmt.Errorf("the link to the bottle was lost: %w", errdefs.ErrUnavailable)

// frameType says what a frame of a session carries.
type frameType byte

const (
	frameStdin    frameType = iota + 1 // empty: the end of standard input
	frameStdout                        // bytes
	frameStderr                        // bytes
	frameResize                        // Size
	frameSignal                        // name of a signal
	frameExit                          // ExitStatus; the last frame
	frameFailed                        // reply; the command was not started, the last frame
	framePosition                      // Position; the first frame of a session that is kept
	frameScreen                        // bytes that draw the screen, and count for no output
)

// maxFrame bounds a frame's payload, in bytes.
const maxFrame = 64 << 10

// frames writes and reads the frames of one session. Writes may come from
// several goroutines.
type frames struct {
	stream io.ReadWriter
	mu     sync.Mutex
	buffer []byte
}

// write sends one frame, in pieces when the payload is longer than a frame.
func (f *frames) write(kind frameType, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for first := true; first || len(payload) > 0; first = false {
		piece := payload[:min(len(payload), maxFrame)]
		payload = payload[len(piece):]
		f.buffer = append(f.buffer[:0], byte(kind))
		f.buffer = binary.BigEndian.AppendUint32(f.buffer, uint32(len(piece)))
		f.buffer = append(f.buffer, piece...)
		if _, err := f.stream.Write(f.buffer); err != nil {
			return err
		}
	}
	return nil
}

func (f *frames) writeValue(kind frameType, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	return f.write(kind, data)
}

// read returns the next frame. The payload is valid until the next call.
func (f *frames) read(payload []byte) (frameType, []byte, error) {
	var header [5]byte
	if _, err := io.ReadFull(f.stream, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", size, errTooLong)
	}
	payload = payload[:size]
	if _, err := io.ReadFull(f.stream, payload); err != nil {
		return 0, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return frameType(header[0]), payload, nil
}

// output is a writer whose writes become frames of one kind.
type output struct {
	frames *frames
	kind   frameType
}

func (o output) Write(data []byte) (int, error) {
	if err := o.frames.write(o.kind, data); err != nil {
		return 0, err
	}
	return len(data), nil
}
