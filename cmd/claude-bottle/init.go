package main

import (
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/spf13/cobra"
)

func (a *application) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		Short:   "Write a first agent and bottle file",
		Long:    "Write a first agent and bottle file below ~/.claude-bottle, with comments that show every key.\nWhat is there stays as it is.",
		Example: "  claude-bottle init && claude-bottle start claude",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			options, err := a.manifestOptions()
			if err != nil {
				return err
			}
			created, err := manifest.Init(options)
			if err != nil {
				return err
			}
			for _, path := range created {
				if _, err := fmt.Fprintf(a.out, "created %s\n", backend.Printable(path)); err != nil {
					return err
				}
			}
			if len(created) == 0 {
				_, err = fmt.Fprintln(a.out, "nothing to do: the files are there already")
			}
			return err
		},
	}
}
