package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) egressCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "egress",
		Short: "See and change what bottles reach",
		Long:  "See what a bottle has reached and what it was refused, and change what it may reach\nwhile it runs.",
		Example: `  claude-bottle egress log claude
  claude-bottle egress test claude example.com:8443
  claude-bottle egress allow claude example.com
  claude-bottle egress deny claude example.com`,
		Args: cobra.NoArgs,
		// So that cobra looks at the arguments: a verb that isn't one is an error.
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		a.egressLogCommand(), a.egressTestCommand(), a.egressAllowCommand(), a.egressDenyCommand(),
		a.egressPendingCommand(), a.egressApproveCommand(),
	)
	return command
}

// arguments demands just these, and names them when they are not there.
func arguments(verb string, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usageError{fmt.Errorf("%s takes %d arguments (%s), got %d", verb, len(names), strings.Join(names, " "), len(args))}
	}
}

// locate finds a bottle, or what is kept of one.
func (a *application) locate(ctx context.Context, name string) (backend.Location, error) {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return backend.Location{}, err
	}
	defer func() { _ = opened.Close() }()
	locator, ok := opened.(backend.Locator)
	if !ok {
		return backend.Location{}, fmt.Errorf("find bottle %s: this backend can't say where it is: %w", backend.Printable(name), errdefs.ErrNotImplemented)
	}
	return locator.Locate(ctx, name)
}
