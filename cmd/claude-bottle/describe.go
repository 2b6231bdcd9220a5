package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/spf13/cobra"
)

func (a *application) describeCommand() *cobra.Command {
	var which selection
	command := &cobra.Command{
		Use:   "describe [NAME...] [-l SELECTOR]",
		Short: "Show all that is known of bottles, and what has happened to them",
		Long: `Show all that is known of bottles, for people to read: what was declared, how it stands
with it, and what has happened to it since.`,
		Example: `  claude-bottle describe tests
  claude-bottle describe -l team=web`,
		ValidArgsFunction: a.completeResources(),
	}
	which.add(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		which.names = args
		if _, err := which.check(); err != nil {
			return err
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.describe(ctx, which) })
	}
	return command
}

func (a *application) describe(ctx context.Context, which selection) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	found, missing, err := seen(ctx, opened, which, true)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range missing {
		failed = append(failed, notFound(name))
	}
	historian, remembers := opened.(backend.Historian)
	for i, bottle := range found {
		if i > 0 {
			_, _ = fmt.Fprintln(a.out)
		}
		var events []backend.Event
		if remembers {
			if events, err = historian.Events(ctx, bottle.Status.Handle); err != nil {
				failed = append(failed, err)
			}
		}
		if err := resources.Describe(a.out, bottle, events, time.Now()); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}
