package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// outfit runs the commands of a plan in its bottle, before claude is started.
func (l *launching) outfit(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) error {
	if !plan.Outfits() {
		return nil
	}
	outfitter, ok := bottle.(backend.Outfitter)
	if !ok {
		return fmt.Errorf("this backend runs no commands before claude: %w", errdefs.ErrNotImplemented)
	}
	late := fmt.Errorf("the commands of devcontainer.json took longer than %s: %w", backend.SetupTime, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, backend.SetupTime, late)
	defer cancel()
	for _, command := range plan.Setup {
		done := l.progress.Step(strings.TrimSpace("setup " + command.Name))
		err := l.outfitBy(ctx, outfitter, command)
		done(err)
		if err != nil {
			return err
		}
	}
	return outfitter.Outfitted(ctx)
}

// outfitBy runs one command, and shows what it says.
func (l *launching) outfitBy(ctx context.Context, outfitter backend.Outfitter, command backend.SetupCommand) error {
	said := &ending{to: io.Discard}
	if !l.app.quiet && !l.progress.hushed() {
		_, _ = fmt.Fprintf(l.app.err, "claude-bottle: runs %s\n", command.Line())
		said.to = l.app.heard(l.progress)
	}
	code, err := outfitter.Outfit(ctx, command, said)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && code == 0:
		return nil
	case err == nil:
		err = fmt.Errorf("it ended with code %d%s: %w", code, said.lastLine(), errdefs.ErrAborted)
	}
	return fmt.Errorf("command of devcontainer.json: %s: %w", command.Line(), err)
}

// ending passes on what is said, and remembers the end of it.
type ending struct {
	to   io.Writer
	tail []byte
}

// Write implements io.Writer.
func (e *ending) Write(data []byte) (int, error) {
	const most = 4 << 10
	e.tail = append(e.tail, data[max(0, len(data)-most):]...)
	e.tail = e.tail[max(0, len(e.tail)-most):]
	_, _ = e.to.Write(data) // what can't be shown stops no command
	return len(data), nil
}

// lastLine is what was said last, in words that follow others.
func (e *ending) lastLine() string {
	text := bytes.TrimSpace(e.tail)
	if at := bytes.LastIndexByte(text, '\n'); at >= 0 {
		text = bytes.TrimSpace(text[at+1:])
	}
	if len(text) == 0 {
		return " and said nothing"
	}
	const most = 200
	return " and said last: " + backend.Printable(string(text[max(0, len(text)-most):]))
}
