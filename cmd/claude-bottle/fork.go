package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// maxForks bounds how many bottles one fork makes.
const maxForks = 64

// forker is a Backend that copies what a bottle has made.
type forker interface {
	Fork(ctx context.Context, of *backend.Work, name string) (*backend.Work, error)
}

func (a *application) forkCommand() *cobra.Command {
	count, name := 1, ""
	command := &cobra.Command{
		Use:   "fork NAME [--count K] [--name N]",
		Short: "Make bottles that start from the work of another",
		Long: `Make K kept bottles, named N-1 to N-K, that start from the workspace, home and
conversation of another bottle as they are now, so that several agents try the same
task: each goes on with resume. Nothing is shared between them, but content of files
where the file system shares it by itself.

A bottle that runs is copied as it is at the moment, file by file: let it come to rest
before when that matters.`,
		Example: `  claude-bottle fork claude --count 3
  claude-bottle fork claude@k3x9p --name idea && claude-bottle resume idea-1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("fork takes the name of one bottle, got %d: `claude-bottle list` shows them", len(args))}
			}
			if count < 1 || count > maxForks {
				return usageError{fmt.Errorf("--count %d: give a number from 1 to %d", count, maxForks)}
			}
			return nil
		},
	}
	command.ValidArgsFunction = a.completeBottles
	command.Flags().IntVar(&count, "count", 1, "how many to make")
	command.Flags().StringVar(&name, "name", "", "what their names begin with (default: the bottle's)")
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.fork(ctx, args[0], name, count) })
	}
	return command
}

func (a *application) fork(ctx context.Context, of, name string, count int) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	forks, ok := keeper.(forker)
	if !ok {
		return fmt.Errorf("this backend copies no bottles: %w", errdefs.ErrNotImplemented)
	}
	original, release, err := holdWork(ctx, keeper, of)
	if err != nil {
		return err
	}
	defer release()
	if name == "" {
		name = original.ID.Name
	}
	if err := backend.ValidateName("bottle", fmt.Sprintf("%s-%d", name, count)); err != nil {
		return usageError{err}
	}
	for i := range count {
		made, err := forks.Fork(ctx, original, fmt.Sprintf("%s-%d", name, i+1))
		if err != nil {
			if i > 0 {
				err = errors.Join(err, fmt.Errorf("%d of %d are made", i, count))
			}
			return err
		}
		if _, err := fmt.Fprintf(a.out, "%s: claude-bottle resume %s\n", made.Handle(), made.Handle()); err != nil {
			return err
		}
	}
	return nil
}
