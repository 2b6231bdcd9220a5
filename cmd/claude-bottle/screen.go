package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
)

// screen is where a command of a bottle reads and writes.
type screen struct {
	tty     *terminal.Terminal
	given   bool // the command gets the terminal
	raw     bool // unfiltered
	signals *signals
}

// onScreen lends this process's streams to a command, as a terminal when that is
// given, and returns its exit code as an error.
func (a *application) onScreen(ctx context.Context, on screen, run func(backend.Terminal) (int, error)) error {
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
		session.In, session.Err = on.tty, session.Out
	}
	code, err := run(session)
	if session.TTY {
		if restoreErr := on.tty.Restore(); restoreErr != nil && err == nil {
			err = fmt.Errorf("restore terminal: %w", restoreErr)
		}
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
