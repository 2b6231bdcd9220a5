package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) stopCommand() *cobra.Command {
	var within time.Duration
	command := &cobra.Command{
		Use:   "stop NAME...",
		Short: "End claude in bottles that run, and keep their work",
		Long: `End claude in bottles that run: it is told to end (SIGTERM), has ten seconds for that, and
then goes with its bottle. What it has made is kept: list shows it, resume goes on with
it, rm removes it. One that has ended already is left as it is.`,
		Example: `  claude-bottle stop claude
  claude-bottle stop claude second --timeout 30s`,
		ValidArgsFunction: a.completeNames(math.MaxInt, runningBottle),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("stop takes names of bottles that run: `claude-bottle list` shows them")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			return a.interruptible(command, func(ctx context.Context) error { return a.stopAll(ctx, args, within) })
		},
	}
	command.Flags().DurationVar(&within, "timeout", time.Minute, "give up waiting for a bottle to be gone")
	return command
}

// stopAll tries every name.
func (a *application) stopAll(ctx context.Context, names []string, within time.Duration) error {
	var failed error
	for _, name := range names {
		ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it is not gone after %s: %w", within, context.DeadlineExceeded))
		err := a.stop(ctx, name)
		cancel()
		if err == nil {
			_, err = fmt.Fprintln(a.out, backend.Printable(name))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func (a *application) stop(ctx context.Context, name string) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	return halt(ctx, opened, name)
}

// halt ends claude in a bottle, and returns when that has been taken down to its work. One
// that has ended is fine, one that is not there a NotFound error.
func halt(ctx context.Context, opened closingBackend, name string) error {
	opener, err := openerOf(opened)
	if err != nil {
		return err
	}
	reached, err := opener.Open(ctx, name)
	if errdefs.IsFailedPrecondition(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(reached.Halt(ctx), reached.Close())
}
