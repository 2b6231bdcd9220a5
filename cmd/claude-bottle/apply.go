package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	name           string
	paths          []string
	into           string
	yes            bool
	includeAutorun bool
	dryRun         bool
	output         *format
	files          fileFlags
	launch         declaredLaunch
}

func (a *application) applyCommand() *cobra.Command {
	var o applyOptions
	command := &cobra.Command{
		Use:   "apply {NAME [PATH...] | -f FILE} [flags]",
		Short: "Put what a bottle has changed onto your files; or, with -f, declare bottles",
		Long: `There are two things to apply: the work of a bottle, by its NAME, to your files; and
with -f files that declare bottles, as kubectl does, to this host.

apply NAME: put what a bottle has changed onto the files of the directory that it came from, or of
another one. What you changed meanwhile is joined as git merge does; where that can't
be nothing is written. The list is shown first. Files that run by themselves (hooks,
tasks, build and editor files, instructions for agents, programs) are asked for one by
one: --yes does not cover them, --include-autorun does. What lies in or looks like .git,
links out of the tree, sockets and devices never come home this way.

All files are written or none. Your git's index, branches and hooks are left alone.

The exit code is 3 when something was changed at both ends, and 1 when you said no: then
nothing is written.

apply -f FILE: start each Bottle that the file declares and that isn't there, detached,
after the plan and the question of start. One that is there as declared is left alone
(unchanged), also once it has finished: delete it to have it run again. Of one that is
there labels, annotations and ttlSecondsAfterFinished may change (configured); another
change is an error that names the field. Nothing that isn't declared is removed.

The exit code is 3 when a bottle that wasn't declared has the name, and 1 for all else that
went wrong; the other Bottles are applied.`,
		Example: `  claude-bottle apply claude
  claude-bottle apply claude src docs/guide.md
  claude-bottle apply claude --dry-run -o json
  claude-bottle apply claude@k3x9p --into ../elsewhere --yes

  claude-bottle apply -f bottles.yaml --dry-run
  claude-bottle apply -f bottles/ -R --yes
  sed "s/NAME/fix-42/" template.yaml | claude-bottle apply -f - --yes`,
		Args:              o.checkArguments,
		ValidArgsFunction: a.completeBottles,
	}
	flags := command.Flags()
	o.files.add(command, "to start")
	o.launch.add(command)
	flags.StringVar(&o.into, "into", "", "`directory` to change (default: the one that the bottle came from)")
	flags.BoolVarP(&o.yes, "yes", "y", false, "apply without asking, but for files that run by themselves; with -f: launch without asking")
	flags.BoolVar(&o.includeAutorun, "include-autorun", false, "files that run by themselves, too, without asking for each")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the list, or with -f the plans, and change nothing")
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if o.files.given() {
			a.verb += " -f"
			return a.interruptible(command, func(ctx context.Context) error { return a.applyFiles(ctx, o) })
		}
		o.name, o.paths = args[0], args[1:]
		return a.interruptible(command, func(ctx context.Context) error { return a.apply(ctx, o) })
	}
	return command
}

// checkArguments tells the two kinds of apply apart.
func (o *applyOptions) checkArguments(command *cobra.Command, args []string) error {
	if !o.files.given() {
		if given := firstChanged(command, "recursive", "allow-vulnerable-runc", "forward-oauth-token"); given != "" {
			return usageError{fmt.Errorf("--%s is for apply -f FILE", given)}
		}
		if len(args) == 0 {
			return usageError{errors.New("apply takes the name of a bottle whose work is put onto your files, or -f FILE with Bottles to start")}
		}
		return nil
	}
	if given := firstChanged(command, "into", "include-autorun"); given != "" {
		return usageError{fmt.Errorf("--%s is for apply NAME, which puts the work of a bottle onto your files; -f declares bottles", given)}
	}
	if len(args) > 0 {
		return usageError{fmt.Errorf("apply takes either NAME, whose work is put onto your files, or -f FILE with Bottles to start: got -f and %s; one more file needs another -f", backend.Printable(args[0]))}
	}
	return nil
}

// firstChanged is the first of the flags that was given, or "".
func firstChanged(command *cobra.Command, names ...string) string {
	for _, name := range names {
		if command.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

var errNotApplied = fmt.Errorf("nothing was applied: only a yes on a terminal, or --yes, applies anything: %w", errdefs.ErrAborted)

func (a *application) apply(ctx context.Context, o applyOptions) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	held, release, err := holdWork(ctx, keeper, o.name)
	if err != nil {
		return err
	}
	defer release()
	target, err := a.applyTarget(keeper, held, o)
	if err != nil {
		return err
	}
	offer, err := change.Prepare(ctx, held, target)
	if err != nil {
		return err
	}
	defer offer.Close()
	done, err := o.output.structured(a.out, reviewOf(offer))
	if err == nil && !done {
		err = printReview(a.err, offer)
	}
	if err != nil {
		return err
	}
	if o.dryRun && len(offer.Conflicts) == 0 {
		return nil
	}
	if len(offer.Conflicts) == 0 && len(offer.Steps) > 0 {
		if err := a.agree(ctx, o, offer); err != nil {
			return err
		}
	}
	// With a conflict it says what to do, and changes nothing.
	if err := offer.Apply(ctx); err != nil {
		return err
	}
	switch {
	case a.quiet:
	case len(offer.Steps) == 0:
		_, _ = fmt.Fprintf(a.err, "claude-bottle: there is nothing to apply to %s\n", backend.Printable(offer.Into))
	default:
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s applied to %s\n", count(len(offer.Steps), "file"), backend.Printable(offer.Into))
	}
	return nil
}

// agree asks for what is not answered by flags. What runs by itself is asked for
// file by file, and what is refused then is left out.
func (a *application) agree(ctx context.Context, o applyOptions, offer *change.Offer) error {
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	var running []*change.Step
	for _, step := range offer.Steps {
		if step.Runs != "" && !o.includeAutorun {
			running = append(running, step)
		}
	}
	if !tty.IsTerminal() {
		switch {
		case !o.yes:
			return errNotApplied
		case len(running) > 0:
			return fmt.Errorf("nothing was applied: %d files run by themselves, such as %s, and --yes does not cover them: answer on a terminal, name other paths, or add --include-autorun: %w",
				len(running), backend.Printable(running[0].Path), errdefs.ErrAborted)
		}
		return nil
	}
	for _, step := range running {
		taken, err := a.agreeOne(ctx, tty, offer, step)
		if err != nil {
			return err
		}
		if !taken {
			offer.Drop(step)
		}
	}
	if o.yes || len(offer.Steps) == 0 {
		return nil
	}
	agreed, err := tty.Confirm(ctx, a.err, "apply "+count(len(offer.Steps), "file")+"? [y/N] ")
	if err != nil {
		return fmt.Errorf("%w (%w)", errNotApplied, err)
	}
	if !agreed {
		return errNotApplied
	}
	return nil
}

// agreeOne asks for one file that runs by itself.
func (a *application) agreeOne(ctx context.Context, tty *terminal.Terminal, offer *change.Offer, step *change.Step) (bool, error) {
	question := fmt.Sprintf("%s %s, which runs by itself (%s)? [y/N/show/quit] ", step.Action, change.Quote(step.Path), step.Runs)
	for {
		answer, err := tty.Answer(ctx, a.err, question)
		if err != nil {
			return false, fmt.Errorf("%w (%w)", errNotApplied, err)
		}
		switch answer {
		case "y", "yes":
			return true, nil
		case "q", "quit":
			return false, errNotApplied
		case "s", "show":
			err := a.showPatch(a.err, func(w io.Writer) error { return offer.Show(ctx, w, step) })
			if err != nil && !errors.Is(err, errdefs.ErrOutOfRange) {
				return false, err
			}
			if err != nil {
				_, _ = fmt.Fprintf(a.err, "%s\n", printableLines(err.Error()))
			}
		case "", "n", "no":
			return false, nil
		default:
			_, _ = fmt.Fprintln(a.err, "y applies it, n leaves it out, show prints it, quit applies nothing")
		}
	}
}
