package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
)

// screen is where a command of a bottle reads and writes.
type screen struct {
	tty     *terminal.Terminal
	given   bool // the command gets the terminal
	raw     bool // unfiltered
	signals *signals
	// detachKeys are those that leave the command as it is; none are none.
	detachKeys []byte
}

// onScreen lends this process's streams to a command, as a terminal when that is
// given, and returns its exit code as an error: terminal.ErrDetached when the keys for
// that were typed.
func (a *application) onScreen(ctx context.Context, on screen, run func(context.Context, backend.Terminal) (int, error)) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	session := backend.Terminal{In: a.in, Out: a.out, Err: a.err, TTY: on.given, Signals: on.signals.forwarded()}
	if session.TTY {
		unmute := a.muteLog()
		defer unmute()
		sizes, stop := on.tty.Sizes(ctx)
		defer stop()
		session.Size = sizes
		session.Out = on.tty.Output(on.raw)
		if err := on.tty.Raw(); err != nil {
			return fmt.Errorf("set terminal to raw mode: %w", err)
		}
		defer func() { _ = on.tty.Restore() }()
		session.In, session.Err = leaving{terminal.UntilKeys(on.tty, on.detachKeys), leave}, session.Out
	}
	code, err := run(ctx, session)
	if session.TTY {
		if restoreErr := on.tty.Restore(); restoreErr != nil && err == nil {
			err = fmt.Errorf("restore terminal: %w", restoreErr)
		}
	}
	if err != nil && errors.Is(context.Cause(ctx), terminal.ErrDetached) {
		return terminal.ErrDetached
	}
	var ended signalError
	if err = a.afterSignal(ctx, err); errors.As(err, &ended) {
		return err // the command's own code is but what the signal made of it
	}
	if code == 0 && err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// leaving reads until the keys that detach, and tells of them.
type leaving struct {
	io.Reader
	leave context.CancelCauseFunc
}

// Read implements io.Reader.
func (l leaving) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if errors.Is(err, terminal.ErrDetached) {
		l.leave(err)
	}
	return n, err
}
