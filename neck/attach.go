package neck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// SessionIO is where a session reads and writes on its client's side. Size and
// Signals may be nil.
type SessionIO struct {
	In       io.Reader
	Out, Err io.Writer
	Size     <-chan Size
	// Signals are names, such as SIGINT.
	Signals <-chan string
	// Position hears where the output of a kept session goes on, before what follows;
	// nil doesn't. Had, when it is set, counts the bytes of output that have come: with
	// it a client that has lost its link goes on where it was.
	Position func(Position)
	Had      *int64
}

// Attach carries a session that was accepted until the command ends, and closes
// the stream. A goroutine that is still reading In may outlive it, until that
// read returns. The end of ctx breaks the session off.
func Attach(ctx context.Context, stream Stream, terminal SessionIO) (ExitStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	link := &frames{stream: stream}
	go sendInput(link, terminal.In)
	go sendEvents(ctx, link, terminal)
	status, err := receive(link, terminal)
	if ctx.Err() != nil && err != nil {
		return ExitStatus{}, context.Cause(ctx)
	}
	return status, err
}

func sendInput(link *frames, in io.Reader) {
	if in != nil {
		if _, err := io.CopyBuffer(onlyWriter{output{link, frameStdin}}, onlyReader{in}, make([]byte, 32<<10)); err != nil {
			return
		}
	}
	_ = link.write(frameStdin, nil)
}

// onlyReader and onlyWriter hide methods that would make io.Copy pass a write of
// no bytes on: that would be the end of input.
type onlyReader struct{ io.Reader }

type onlyWriter struct{ output }

func (w onlyWriter) Write(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	return w.output.Write(data)
}

func sendEvents(ctx context.Context, link *frames, terminal SessionIO) {
	sizes, signals := terminal.Size, terminal.Signals
	for sizes != nil || signals != nil {
		var err error
		select {
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			err = link.writeValue(frameResize, size)
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			err = link.write(frameSignal, []byte(name))
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func receive(link *frames, terminal SessionIO) (ExitStatus, error) {
	buffer := make([]byte, maxFrame)
	for {
		kind, payload, err := link.read(buffer)
		if err != nil {
			if errors.Is(err, errTooLong) {
				return ExitStatus{}, err
			}
			return ExitStatus{}, fmt.Errorf("%w: %w", ErrLinkLost, err)
		}
		switch kind {
		case frameStdout:
			err = terminal.write(terminal.Out, payload)
		case frameStderr:
			err = terminal.write(terminal.Err, payload)
		case frameScreen:
			_, err = terminal.Out.Write(payload)
		case framePosition:
			var position Position
			if err := json.Unmarshal(payload, &position); err != nil {
				return ExitStatus{}, fmt.Errorf("read position: %w", err)
			}
			terminal.begin(position)
		case frameExit:
			var status ExitStatus
			if err := json.Unmarshal(payload, &status); err != nil {
				return ExitStatus{}, fmt.Errorf("read exit status: %w", err)
			}
			return status, nil
		case frameFailed:
			var failure reply
			if err := json.Unmarshal(payload, &failure); err != nil {
				return ExitStatus{}, fmt.Errorf("read failure: %w", err)
			}
			return ExitStatus{}, farError(failure.Error, failure.Class)
		default:
			return ExitStatus{}, fmt.Errorf("frame of unknown type %d", kind)
		}
		if err != nil {
			return ExitStatus{}, fmt.Errorf("write output: %w", err)
		}
	}
}

// write passes output on, and counts it.
func (t SessionIO) write(to io.Writer, data []byte) error {
	_, err := to.Write(data)
	if err == nil && t.Had != nil {
		*t.Had += int64(len(data))
	}
	return err
}

// begin notes where the output goes on.
func (t SessionIO) begin(position Position) {
	if t.Had != nil {
		*t.Had = position.Offset
	}
	if t.Position != nil {
		t.Position(position)
	}
}
