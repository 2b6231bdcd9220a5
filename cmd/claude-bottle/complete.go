package main

import (
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/spf13/cobra"
)

// completion proposes words for an argument.
type completion = func(command *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completeBottles proposes the bottles that there are, for the first word.
func (a *application) completeBottles(command *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.completeNames(1, everyBottle)(command, args, begun)
}

// everyBottle and the like say which bottles a verb takes.
func everyBottle(backend.Phase) bool { return true }

func keptBottle(phase backend.Phase) bool { return phase == backend.PhaseKept }

func runningBottle(phase backend.Phase) bool { return phase == backend.PhaseRunning }

// completeNames proposes bottles for up to so many words, each once.
func (a *application) completeNames(most int, takes func(backend.Phase) bool) completion {
	return func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.noEngine = true // whoever presses a key has asked for nothing yet
		opened, err := a.openBackend(command.Context(), backend.NoProgress{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer func() { _ = opened.Close() }()
		list, err := opened.ListActive(command.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, bottle := range list {
			if takes(bottle.Phase) && !slices.Contains(args, bottle.Name) {
				names = append(names, bottle.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeCopy proposes bottles, and leaves paths of the host to the shell.
func (a *application) completeCopy(command *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 || strings.ContainsAny(begun, "/.:") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names, _ := a.completeBottles(command, nil, begun)
	for i := range names {
		names[i] += ":"
	}
	return names, cobra.ShellCompDirectiveNoSpace
}
