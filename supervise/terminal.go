package supervise

import (
	"context"
	"os"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"golang.org/x/sys/unix"
)

// Run runs a command in the bottle, on the terminal.
func (c *Client) Run(ctx context.Context, request *neck.SessionRequest, terminal backend.Terminal) (neck.ExitStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, size := sessionIO(ctx, terminal)
	request.Size = size
	return c.Session(ctx, request, ends)
}

// runClaude runs claude. On a terminal its session could go on without this client, and be
// attached to by others; without one it ends with it.
func (c *Client) runClaude(ctx context.Context, request *neck.SessionRequest, terminal backend.Terminal) (neck.ExitStatus, error) {
	if !request.TTY {
		return c.Run(ctx, request, terminal)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends, size := sessionIO(ctx, terminal)
	request.Size = size
	if err := c.Begin(ctx, request); err != nil {
		return neck.ExitStatus{}, err
	}
	// As ever, claude waits for the terminal that it was started on.
	return c.Attach(ctx, neck.AttachRequest{Lossless: true}, ends)
}

// sessionIO is a terminal as the neck knows it, and its size now. It is relayed until
// ctx ends.
func sessionIO(ctx context.Context, terminal backend.Terminal) (neck.SessionIO, neck.Size) {
	sizes, first := relaySizes(ctx, terminal.Size)
	return neck.SessionIO{
		In: terminal.In, Out: terminal.Out, Err: terminal.Err,
		Size: sizes, Signals: relaySignals(ctx, terminal.Signals),
	}, first
}

// relaySizes turns the sizes of the terminal into those of the neck. The first
// one is waited for, since claude should draw at the right size from its start.
func relaySizes(ctx context.Context, sizes <-chan backend.Size) (<-chan neck.Size, neck.Size) {
	if sizes == nil {
		return nil, neck.Size{}
	}
	var first neck.Size
	select {
	case size := <-sizes:
		first = neck.Size(size)
	case <-ctx.Done():
	}
	return relay(ctx, sizes, func(size backend.Size) (neck.Size, bool) { return neck.Size(size), true }), first
}

// relaySignals turns signals into their names.
func relaySignals(ctx context.Context, signals <-chan os.Signal) <-chan string {
	if signals == nil {
		return nil
	}
	return relay(ctx, signals, func(received os.Signal) (string, bool) {
		number, ok := received.(syscall.Signal)
		return unix.SignalName(number), ok
	})
}

// relay passes on what convert accepts, until ctx or the source ends.
func relay[From, To any](ctx context.Context, from <-chan From, convert func(From) (To, bool)) <-chan To {
	to := make(chan To)
	go func() {
		defer close(to)
		for {
			select {
			case value, ok := <-from:
				if !ok {
					return
				}
				converted, ok := convert(value)
				if !ok {
					continue
				}
				select {
				case to <- converted:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}
