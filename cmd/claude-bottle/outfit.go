package main

import (
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
	shown := io.Discard
	if !l.app.quiet && !l.progress.hushed() {
		_, _ = fmt.Fprintf(l.app.err, "claude-bottle: runs %s\n", command.Line())
		shown = l.app.heard(l.progress)
	}
	said := backend.NewEnding(shown)
	code, err := outfitter.Outfit(ctx, command, said)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && code == 0:
		return nil
	case err == nil:
		err = fmt.Errorf("it ended with code %d%s: %w", code, saidLast(said), errdefs.ErrAborted)
	}
	return fmt.Errorf("command of devcontainer.json: %s: %w", command.Line(), err)
}

// saidLast is what was said last, in words that follow others.
func saidLast(said *backend.Ending) string {
	line := said.LastLine()
	if line == "" {
		return " and said nothing"
	}
	const most = 200
	return " and said last: " + backend.Printable(line[max(0, len(line)-most):])
}
