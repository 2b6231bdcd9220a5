package main

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) cleanupCommand() *cobra.Command {
	var yes, dryRun bool
	command := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what dead bottles left behind",
		Long: `Show what dead bottles left behind (records, tasks, snapshots, processes, mounts,
directories) and remove just that, once you say yes. A bottle that a process holds
is never touched, and neither is unsaved work nor anything that is not ours.`,
		Example: `  claude-bottle cleanup --dry-run
  claude-bottle cleanup --yes`,
		Args: noArguments,
	}
	output := addFormat(command, "text", "json", "yaml")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "remove without asking")
	command.Flags().BoolVar(&dryRun, "dry-run", false, "show the plan and remove nothing")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.cleanup(ctx, yes, dryRun, output) })
	}
	return command
}

func (a *application) cleanup(ctx context.Context, yes, dryRun bool, output *format) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	plan, err := opened.PrepareCleanup(ctx)
	if err != nil {
		return err
	}
	done, err := output.structured(a.out, plan)
	if err == nil && !done {
		err = plan.Print(a.out)
	}
	if err != nil || dryRun || plan.Empty() {
		return err
	}
	if !yes {
		if err := a.agreeToRemove(ctx, "remove this? [y/N] "); err != nil {
			return err
		}
	}
	return opened.Cleanup(ctx, plan)
}

// agreeToRemove asks, and returns an Aborted error unless the answer is a yes on a terminal.
func (a *application) agreeToRemove(ctx context.Context, question string) error {
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	agreed, err := tty.Confirm(ctx, a.err, question)
	if err != nil || !agreed {
		return fmt.Errorf("nothing removed: only a yes on a terminal, or --yes, removes anything: %w", errdefs.ErrAborted)
	}
	return nil
}

// noArguments refuses arguments as a usage error.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %s", command.Name(), backend.Printable(args[0]))}
	}
	return nil
}
