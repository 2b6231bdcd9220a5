package neck

import (
	"encoding/json"
	"fmt"
	"io"
)

// Command is the end of a session at which the command runs. Its methods may be
// called from several goroutines, but for Next.
type Command struct {
	link   *frames
	buffer []byte
}

// NewCommand takes an accepted session stream. The caller closes the stream.
func NewCommand(stream io.ReadWriter) *Command {
	return &Command{link: &frames{stream: stream}, buffer: make([]byte, maxFrame)}
}

// Stdout returns a writer of the command's output.
func (c *Command) Stdout() io.Writer { return output{c.link, frameStdout} }

// Stderr returns a writer of the command's errors.
func (c *Command) Stderr() io.Writer { return output{c.link, frameStderr} }

// Position says where in a kept session's output what follows begins.
func (c *Command) Position(position Position) error {
	return c.link.writeValue(framePosition, position)
}

// Screen draws the screen of a kept session anew; the bytes count for no output.
func (c *Command) Screen(drawn []byte) error { return c.link.write(frameScreen, drawn) }

// Exit says how the command ended. Nothing may follow.
func (c *Command) Exit(status ExitStatus) error { return c.link.writeValue(frameExit, status) }

// Fail says that the command could not be started. The kind of the error
// arrives. Nothing may follow.
func (c *Command) Fail(err error) error {
	return c.link.writeValue(frameFailed, reply{Error: err.Error(), Class: classOf(err)})
}

// Event is what the client sent: exactly one of its fields is set, or EOF.
type Event struct {
	Input  []byte // valid until the next call of Next
	EOF    bool   // the end of input
	Size   *Size
	Signal string
}

// Next waits for what the client sends. io.EOF says that the client is gone.
func (c *Command) Next() (Event, error) {
	kind, payload, err := c.link.read(c.buffer)
	if err != nil {
		return Event{}, err
	}
	switch kind {
	case frameStdin:
		return Event{Input: payload, EOF: len(payload) == 0}, nil
	case frameResize:
		var size Size
		if err := json.Unmarshal(payload, &size); err != nil {
			return Event{}, fmt.Errorf("read size: %w", err)
		}
		return Event{Size: &size}, nil
	case frameSignal:
		return Event{Signal: string(payload)}, nil
	default:
		return Event{}, fmt.Errorf("frame of unknown type %d", kind)
	}
}
