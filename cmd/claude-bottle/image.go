package main

import "github.com/spf13/cobra"

func (a *application) imageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "image",
		Short:   "Build images",
		Long:    "Build the images that bottles are made of.",
		Example: "  claude-bottle image build -f recipe.yaml --name registry.example/tools:1",
		Args:    cobra.NoArgs,
		// So that cobra looks at the arguments: a verb that isn't one is an error.
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(a.imageBuildCommand())
	return command
}
