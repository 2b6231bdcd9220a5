package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	stat, nameOnly bool
	system         bool
	output         *format
	files          fileFlags
}

func (a *application) diffCommand() *cobra.Command {
	var o diffOptions
	command := &cobra.Command{
		Use:   "diff {NAME [OTHER] [--] [PATH...] | -f FILE} [flags]",
		Short: "Show what a bottle has changed; or, with -f, how declared bottles differ from those that are there",
		Long: `diff NAME: show how the files of a bottle's workspace differ from what went in, as git diff
does, files outside of git and new ones included. With the name of a second bottle
the two workspaces are compared. NAME may be a running bottle or kept work. Paths
are those of the workspace; behind -- every word is one.

The output can be given to git apply. On a terminal everything that is not text is
spelled out. Commits are not shown: fetch brings them.

diff -f FILE: show how the Bottles that a file declares differ from those that are there,
and what apply -f would start. As with kubectl the exit code is 0 when nothing differs, 1
when something does, and 2 when that can't be told.`,
		Example: `  claude-bottle diff claude
  claude-bottle diff claude --stat
  claude-bottle diff claude --name-only -- src
  claude-bottle diff claude@k3x9p src/main.go
  claude-bottle diff claude -o json
  claude-bottle diff first second             # two bottles
  claude-bottle diff claude --system          # outside of the workspace
  claude-bottle diff -f bottles.yaml          # declared against what is there`,
		ValidArgsFunction: a.completeNames(2, everyBottle),
	}
	command.Flags().BoolVar(&o.stat, "stat", false, "show counts of lines instead of the lines")
	command.Flags().BoolVar(&o.nameOnly, "name-only", false, "show names alone")
	command.Flags().BoolVar(&o.system, "system", false, "show what a running bottle has changed outside of its workspace and home, by its own word")
	o.output = addFormat(command, "text", "json", "yaml")
	o.files.add(command, "to compare with those that are there")
	command.Args = o.checkArguments
	command.RunE = func(command *cobra.Command, args []string) error {
		switch {
		case o.files.given():
			return a.interruptible(command, func(ctx context.Context) error { return a.diffFiles(ctx, o.files) })
		case o.stat && o.nameOnly:
			return usageError{errors.New("--stat and --name-only exclude each other")}
		case o.system && (o.stat || o.nameOnly):
			return usageError{errors.New("--system takes neither --stat nor --name-only")}
		case o.system && len(args) != 1:
			return usageError{fmt.Errorf("--system takes the name of one running bottle, got %d words", len(args))}
		}
		return a.interruptible(command, func(ctx context.Context) error {
			if o.system {
				return a.diffSystem(ctx, args[0], o.output)
			}
			return a.diff(ctx, o, args, command.ArgsLenAtDash())
		})
	}
	return command
}

// checkArguments tells the two kinds of diff apart.
func (o *diffOptions) checkArguments(command *cobra.Command, args []string) error {
	if !o.files.given() {
		if command.Flags().Changed("recursive") {
			return usageError{errors.New("--recursive is for diff -f FILE")}
		}
		return atLeastOne("diff", "NAME")(command, args)
	}
	if given := firstChanged(command, "stat", "name-only", "system", "output"); given != "" {
		return usageError{fmt.Errorf("--%s is for diff NAME, which shows the work of a bottle; -f compares declared bottles", given)}
	}
	if len(args) > 0 {
		return usageError{fmt.Errorf("diff takes either NAME, whose work is shown, or -f FILE with Bottles: got -f and %s; one more file needs another -f", backend.Printable(args[0]))}
	}
	return nil
}

// atLeastOne demands a first argument.
func atLeastOne(verb, name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usageError{fmt.Errorf("%s takes at least one argument (%s): `claude-bottle list` shows the bottles", verb, name)}
	}
}

func (a *application) diff(ctx context.Context, o diffOptions, args []string, dash int) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	view, paths, err := a.openView(ctx, keeper, args, dash)
	if err != nil {
		return err
	}
	defer view.Close()
	switch {
	case o.output.value != "text":
		err = a.diffDocument(ctx, o, view, paths)
	case o.nameOnly:
		err = a.diffNames(view, paths)
	case o.stat:
		err = a.diffStat(ctx, view, paths)
	default:
		err = a.diffPatch(ctx, view, paths)
	}
	if err != nil {
		return err
	}
	a.printNotes(view.Notes)
	return nil
}

// openView takes the arguments apart: a second word that is a bottle is one.
func (a *application) openView(ctx context.Context, keeper backend.Keeper, args []string, dash int) (*change.View, []string, error) {
	first, err := keeper.Find(ctx, args[0])
	if err != nil {
		return nil, nil, err
	}
	if len(args) > 1 && dash != 1 {
		second, err := keeper.Find(ctx, args[1])
		switch {
		case err == nil:
			view, err := viewOf(ctx, keeper, first, second)
			return view, args[2:], err
		case !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err):
			return nil, nil, err
		}
	}
	view, err := viewOf(ctx, keeper, first, nil)
	return view, args[1:], err
}

func (a *application) printNotes(notes []string) {
	for _, note := range notes {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s\n", printableLines(note))
	}
}

// differences are what -o json prints.
type differences struct {
	Changes []change.Change `json:"changes"`
	Notes   []string        `json:"notes,omitempty"`
}

func (a *application) diffDocument(ctx context.Context, o diffOptions, view *change.View, paths []string) error {
	var changes []change.Change
	var err error
	if o.nameOnly {
		changes, err = view.Select(paths)
	} else {
		changes, err = view.Count(ctx, paths)
	}
	if err != nil {
		return err
	}
	if changes == nil {
		changes = []change.Change{}
	}
	_, err = o.output.structured(a.out, differences{Changes: changes, Notes: view.Notes})
	return err
}

func (a *application) diffNames(view *change.View, paths []string) error {
	changes, err := view.Select(paths)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, changed := range changes {
		b.WriteString(change.Quote(changed.Path) + "\n")
	}
	_, err = io.WriteString(a.out, b.String())
	return err
}

func (a *application) diffPatch(ctx context.Context, view *change.View, paths []string) error {
	var hidden []change.Change
	err := a.showPatch(a.out, func(w io.Writer) (err error) {
		hidden, err = view.Patch(ctx, w, paths)
		return err
	})
	for _, changed := range hidden {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: not shown: %s %s: %s\n", changed.Kind, change.Quote(changed.Path), changed.Note)
	}
	return err
}

// showPatch writes a patch as it is, or, where a terminal would obey it, painted
// and with everything spelled out that is no text.
func (a *application) showPatch(out io.Writer, write func(io.Writer) error) error {
	file, ok := out.(interface{ Fd() uintptr })
	if !ok || !terminal.Is(file) {
		return write(out)
	}
	_, plain := a.lookup("NO_COLOR")
	painted := newPainter(out, !plain)
	return errors.Join(write(painted), painted.flush())
}

const statWidth = 40

func (a *application) diffStat(ctx context.Context, view *change.View, paths []string) error {
	changes, err := view.Count(ctx, paths)
	if err != nil || len(changes) == 0 {
		return err
	}
	width, most, added, deleted := 0, 1, 0, 0
	for _, changed := range changes {
		width = max(width, len(change.Quote(changed.Path)))
		if lines := changed.Lines; lines != nil {
			most = max(most, lines.Added+lines.Deleted)
			added, deleted = added+lines.Added, deleted+lines.Deleted
		}
	}
	var b strings.Builder
	for _, changed := range changes {
		fmt.Fprintf(&b, " %-*s | %s\n", width, change.Quote(changed.Path), statOf(changed, most))
	}
	sum := " " + count(len(changes), "file") + " changed"
	if added > 0 || deleted == 0 {
		sum += ", " + count(added, "insertion") + "(+)"
	}
	if deleted > 0 || added == 0 {
		sum += ", " + count(deleted, "deletion") + "(-)"
	}
	b.WriteString(sum + "\n")
	_, err = io.WriteString(a.out, b.String())
	return err
}

// statOf is the right column of --stat.
func statOf(changed change.Change, most int) string {
	lines := changed.Lines
	switch {
	case changed.Note != "":
		return string(changed.Kind) + ", " + changed.Note
	case lines == nil && changed.Kind == change.ModeOnly, lines != nil && lines.Added+lines.Deleted == 0:
		return strings.TrimSpace(fmt.Sprintf("0 %s -> %s", changed.OldMode, changed.Mode))
	case lines == nil:
		return fmt.Sprintf("binary, %s -> %s", backend.Bytes(changed.OldBytes), backend.Bytes(changed.Bytes))
	}
	scale := func(n int) int {
		if most <= statWidth || n == 0 {
			return n
		}
		return max(1, n*statWidth/most)
	}
	return fmt.Sprintf("%d %s%s", lines.Added+lines.Deleted, strings.Repeat("+", scale(lines.Added)), strings.Repeat("-", scale(lines.Deleted)))
}
