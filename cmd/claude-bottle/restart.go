package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// restartOptions are the flags of restart.
type restartOptions struct {
	startOptions
	timeout time.Duration
}

func (a *application) restartCommand() *cobra.Command {
	var o restartOptions
	command := &cobra.Command{
		Use:   "restart NAME [flags] [-- CLAUDE ARGS]",
		Short: "End claude in a bottle, and start it again with its work and conversation",
		Long: `End claude in a detached bottle as stop does, and start the bottle again as resume
--detach does, in a new sandbox: with the same workspace, home and conversation, the same
plan, and the same arguments for claude unless others follow --. Secrets are read from
their sources again. One that has ended already goes on in the same way.

The plan is made before claude is ended. Where it differs from the one that the bottle
runs on, as when a file was edited, the difference is shown, and only a yes on a
terminal, or --yes, goes on.`,
		Example: `  claude-bottle restart claude
  claude-bottle restart claude --yes -- -p "and now the tests"
  claude-bottle restart claude --dry-run`,
		Args:              oneBeforeDash("restart takes the name of one bottle"),
		ValidArgsFunction: a.completeBottles,
	}
	flags := command.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "go on without asking, also with a plan that differs")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and leave the bottle as it is")
	flags.BoolVar(&o.allowVulnerableRunc, "allow-vulnerable-runc", false, "accept a runc with known ways out")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "give up waiting for the bottle to end")
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		o.claudeArgs, o.detach = args[1:], true
		return a.interruptible(command, func(ctx context.Context) error { return a.restart(ctx, args[0], o) })
	}
	return command
}

// restart plans, asks, ends what runs, and launches what was kept of it.
func (a *application) restart(ctx context.Context, name string, o restartOptions) error {
	if err := supervise.Harden(); err != nil { // secrets are read here, as in start
		return err
	}
	l, err := a.newLaunching(ctx, o.startOptions, time.Now())
	if err != nil {
		return err
	}
	defer l.close()
	keeper, err := keeperOf(l.opened)
	if err != nil {
		return err
	}
	found, err := restartable(ctx, keeper, name)
	if err != nil {
		return err
	}
	spec, options, err := a.restartSpec(found, o.startOptions)
	if err != nil {
		return err
	}
	shown, err := l.plan(ctx, spec)
	if err != nil {
		return err
	}
	defer func() { _ = shown.Workspace.Close() }()
	if o.dryRun {
		return printPlan(a.out, shown, o.output)
	}
	l.options.yes = o.yes || shown.Resume.Known && len(shown.Resume.Changes) == 0
	l.options.question = "restart this agent? [y/N] "
	secrets, err := l.agree(ctx, options, spec, shown)
	if err != nil {
		return err
	}
	if spec.Resume, err = a.endFor(ctx, keeper, found, o.timeout); err != nil {
		return err
	}
	spec.Restart = false
	if err := l.again(ctx, spec, shown, secrets); err != nil {
		return fmt.Errorf("start %s again: it is kept as %s: %w", found.ID.Name, found.ID.Handle(), err)
	}
	return a.sayDetached(shown)
}

// restartable finds a bottle that runs on its own, or has ended. One that its client
// holds is that client's.
func restartable(ctx context.Context, keeper openedKeeper, name string) (*backend.Work, error) {
	found, err := keeper.Find(ctx, name)
	if err != nil || !found.Running {
		return found, err
	}
	bottles, err := keeper.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(bottles, func(status backend.Status) bool { return status.ID == found.ID.String() && status.Detached }) {
		return nil, fmt.Errorf("bottle %s belongs to the client that started it: leave it there with Ctrl-P Ctrl-Q first, or end it there: %w", found.ID.Name, errdefs.ErrFailedPrecondition)
	}
	return found, nil
}

// restartSpec is the wish for the bottle as it is.
func (a *application) restartSpec(found *backend.Work, o startOptions) (backend.Spec, manifest.Options, error) {
	spec, options, err := a.resumeSpec(found, o)
	if err != nil || found.Plan == nil {
		return spec, options, err
	}
	spec.Restart, spec.RawTerminal = found.Running, found.Plan.RawTerminal
	if len(o.claudeArgs) == 0 {
		spec.ClaudeArgs = found.Plan.ClaudeArguments(spec.Manifest.Agent.Model)
	}
	if sameFiles(found.Plan, spec.Manifest.Files) {
		spec.Image = found.Plan.Image.Reference // also where a flag has named it
	}
	return spec, options, nil
}

// sameFiles says that a plan was made of just these files.
func sameFiles(plan *backend.Plan, files []backend.ManifestFile) bool {
	return slices.Equal(plan.Files, files) || slices.Equal(plan.Files, remote.FilesOf(files))
}

// endFor ends what runs, and returns what is kept of it.
func (a *application) endFor(ctx context.Context, keeper openedKeeper, found *backend.Work, within time.Duration) (*backend.Work, error) {
	if !found.Running {
		return found, nil
	}
	ending, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it is not gone after %s: %w", within, context.DeadlineExceeded))
	defer cancel()
	if err := halt(ending, keeper, found.ID.Handle()); err != nil {
		return nil, err
	}
	return keeper.Find(ctx, found.ID.Handle())
}

// again launches what was shown, of what is kept now.
func (l *launching) again(ctx context.Context, spec backend.Spec, shown *backend.Plan, secrets backend.Secrets) error {
	plan, err := l.prepare(ctx, spec)
	if err != nil {
		return err
	}
	if changes := backend.PlanChanges(shown, plan); len(changes) > 0 {
		return fmt.Errorf("it is not what was shown any more: %s: %w", changes[0], errdefs.ErrFailedPrecondition)
	}
	return l.detached(ctx, plan, secrets)
}
