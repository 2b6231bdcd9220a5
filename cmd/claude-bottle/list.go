package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/spf13/cobra"
)

func (a *application) listCommand() *cobra.Command {
	var orphans bool
	command := &cobra.Command{
		Use:     "list [available|active]",
		Aliases: []string{"ls", "ps"},
		Short:   "List agents that can be started, or bottles",
		Long: `List agents that can be started (available), or bottles that run, die or are kept
for their work (active, the default). Of a kept bottle there is shown how long ago it
ended, what it takes of the disk, and what in it is unsaved: in full with -o wide or
json. In brackets stands the exit code of a claude that ran without a client.

--orphans lists state that is not as it should be: bottles whose plan or baseline
can't be read, those of another containerd socket or namespace, and directories that
no bottle has made. They can be copied from (cp), go on (resume --agent) and be
removed (rm --discard).`,
		Example: `  claude-bottle list
  claude-bottle list available
  claude-bottle list active -o json
  claude-bottle list --orphans`,
		ValidArgs: []string{"available", "active"},
	}
	command.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 || (len(args) == 1 && args[0] != "available" && args[0] != "active") {
			return usageError{fmt.Errorf("list takes available or active, got %s", backend.Printable(strings.Join(args, " ")))}
		}
		return nil
	}
	command.Flags().BoolVar(&orphans, "orphans", false, "list kept state that is not as it should be, and why")
	output := addFormat(command, "text", "wide", "name", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] == "available" {
			return a.listAvailable(output)
		}
		ctx, release := signalled(command.Context())
		defer release()
		opened, err := a.openBackend(ctx, backend.NoProgress{})
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }()
		if orphans {
			return a.listOrphans(ctx, opened, output)
		}
		bottles, err := listed(ctx, opened)
		if err != nil {
			return err
		}
		return a.printBottles(bottles, output)
	}
	return command
}

// listed are the bottles, each kept one looked at as far as there is time.
func listed(ctx context.Context, opened backend.Backend) ([]backend.Status, error) {
	return examined(ctx, opened, keptBottle)
}

func (a *application) printBottles(bottles []backend.Status, output *format) error {
	if bottles == nil {
		bottles = []backend.Status{}
	}
	if done, err := output.structured(a.out, bottles); done || err != nil {
		return err
	}
	header := []string{"NAME", "AGENT", "PHASE", "RUNTIME", "AGE", "SIZE", "UNSAVED"}
	if output.value == "wide" {
		header = append(header, "ID", "IMAGE", "WHY THIS RUNTIME", "WORKSPACE", "MESSAGE")
	}
	rows := make([][]string, 0, len(bottles))
	for _, bottle := range bottles {
		if output.value == "name" {
			if _, err := fmt.Fprintln(a.out, backend.Printable(bottle.Name)); err != nil {
				return err
			}
			continue
		}
		size, unsaved := keptColumns(bottle, output.value == "wide")
		phase := string(bottle.Phase)
		if bottle.Outcome.WaitsForCredentials() {
			phase += " (" + backend.CredentialsMissing + ")"
		} else if bottle.Outcome != nil {
			phase += fmt.Sprintf(" (%d)", bottle.Outcome.ExitCode)
		}
		row := []string{bottle.Name, bottle.Agent, phase, bottle.Runtime, age(time.Since(bottle.Created)), size, unsaved}
		if output.value == "wide" {
			row = append(row, bottle.ID, bottle.Image, bottle.Reason, bottle.Workspace, bottle.Message)
		}
		rows = append(rows, row)
	}
	if output.value == "name" {
		return nil
	}
	return table(a.out, header, rows)
}

func (a *application) listAvailable(output *format) error {
	options, err := a.manifestOptions()
	if err != nil {
		return err
	}
	entries, err := manifest.List(options)
	if err != nil {
		return err
	}
	if done, err := output.structured(a.out, entries); done || err != nil {
		return err
	}
	header := []string{"AGENT", "BOTTLE", "ORIGIN", "DESCRIPTION"}
	if output.value == "wide" {
		header = append(header, "PATH", "PROBLEM")
	}
	var rows [][]string
	for _, entry := range entries {
		if entry.Kind != manifest.KindAgent {
			continue
		}
		if output.value == "name" {
			if _, err := fmt.Fprintln(a.out, backend.Printable(entry.Name)); err != nil {
				return err
			}
			continue
		}
		description := entry.Description
		if entry.Problem != "" {
			description = "BROKEN: see `claude-bottle info " + entry.Name + "`"
		}
		row := []string{entry.Name, entry.Bottle, entry.Origin, description}
		if output.value == "wide" {
			row = append(row, entry.Path, entry.Problem)
		}
		rows = append(rows, row)
	}
	if output.value == "name" {
		return nil
	}
	if len(rows) == 0 && !a.quiet {
		_, _ = fmt.Fprintln(a.err, "No agents yet: `claude-bottle init` writes a first one.")
	}
	return table(a.out, header, rows)
}

// age shows a duration in the largest unit that fits, as kubectl does.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// completeFiles proposes the names of the user's files of one kind.
func (a *application) completeFiles(kind manifest.Kind) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		options, err := a.manifestOptions()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		entries, err := manifest.List(options)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, entry := range entries {
			if entry.Kind == kind {
				names = append(names, entry.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
