package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) removeCommand() *cobra.Command {
	var discard bool
	command := &cobra.Command{
		Use:   "rm NAME... [--discard]",
		Short: "Remove bottles that were kept",
		Long: `Remove what is kept of bottles. One with unsaved work (commits that no fetch has
brought home, files that differ from what went in) is left alone, with exit code 4,
unless --discard says that the work may go. One that runs is left alone with exit
code 3: end it first.`,
		Example: `  claude-bottle rm claude
  claude-bottle rm claude@k3x9p second --discard`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("rm takes names of kept bottles: `claude-bottle list` shows them")}
			}
			return nil
		},
	}
	command.ValidArgsFunction = a.completeNames(math.MaxInt, keptBottle)
	command.Flags().BoolVar(&discard, "discard", false, "remove unsaved work, too")
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.removeAll(ctx, args, discard) })
	}
	return command
}

// removeAll tries every name. The exit code is that of the first that failed.
func (a *application) removeAll(ctx context.Context, names []string, discard bool) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	var failed []error
	for _, name := range names {
		if err := a.remove(ctx, keeper, name, discard); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) < 2 {
		return errors.Join(failed...)
	}
	return &exitError{code: exitCode(nil, failed[0]), err: errors.Join(failed...)}
}

func (a *application) remove(ctx context.Context, keeper backend.Keeper, name string, discard bool) error {
	kept, err := keeper.Find(ctx, name)
	if err != nil {
		return err
	}
	if kept.Running {
		return fmt.Errorf("bottle %s runs: end its session first, then remove what is kept; one that is kept already is called NAME@SUFFIX in `claude-bottle list`: %w", kept.ID.Name, errdefs.ErrConflict)
	}
	unsaved, err := removeKept(ctx, keeper, kept, discard)
	if unsaved.Any() && err == nil {
		printUnsaved(a.err, unsaved, kept.Plan)
		return &exitError{code: exitUnsaved, err: fmt.Errorf("%s is not removed: it holds unsaved work", unsaved.Handle)}
	}
	return err
}

// removeKept removes a kept bottle unless it holds unsaved work, which it returns.
func removeKept(ctx context.Context, keeper backend.Keeper, kept *backend.Work, discard bool) (backend.Unsaved, error) {
	if far, ok := keeper.(*remote.Client); ok {
		return far.RemoveKept(ctx, kept, discard)
	}
	release, err := keeper.Take(ctx, kept)
	if err != nil {
		return backend.Unsaved{}, err
	}
	defer release()
	if !discard {
		unsaved, err := work.Unsaved(ctx, kept)
		if err != nil || unsaved.Any() {
			return unsaved, err
		}
	}
	return backend.Unsaved{}, keeper.Remove(ctx, kept)
}
