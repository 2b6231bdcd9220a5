package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func (a *application) diffCommand() *cobra.Command {
	command := &cobra.Command{
		Use:               "diff NAME --system",
		Short:             "Show what a bottle has changed",
		Long:              "Show what a running bottle has changed outside of its workspace and its home directory.",
		Example:           "  claude-bottle diff claude --system",
		Args:              arguments("diff", "NAME"),
		ValidArgsFunction: a.completeBottles,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("diff takes --system")}
		},
	}
	addFormat(command, "text", "json")
	return command
}
