package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/engine"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/log"
	"github.com/spf13/cobra"
)

// superviseCommand is the process that stays with a bottle. Users never call
// it; the id is an argument so that ps shows whose supervisor it is.
func (a *application) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise ID",
		Short:  "Stay with a bottle (started by claude-bottle itself)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			// A hang-up or an interrupt is the terminal's business, and
			// the bottle's client sees to it.
			signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM)
			defer stop()
			return a.supervise(ctx, args[0])
		},
	}
}

func (a *application) supervise(ctx context.Context, text string) error {
	id, err := backend.ParseID(text)
	if err != nil {
		return usageError{err}
	}
	inherited, err := supervise.Inherit()
	if err != nil {
		return usageError{err}
	}
	config, err := supervise.ReadConfig(a.in)
	if err != nil {
		return err
	}
	var options containerd.Options
	if err := json.Unmarshal(config.Backend, &options); err != nil {
		return fmt.Errorf("read backend options: %w", err)
	}
	bundled := engine.New(engine.Options{Root: options.Root, RunRoot: options.RunRoot})
	if options.Address == bundled.Address() { // also when its last task has ended there is something to do
		release, err := bundled.Use(ctx)
		if err != nil {
			log.G(ctx).WithError(err).Warn("hold the engine")
		} else {
			defer release()
		}
	}
	err = supervise.Run(ctx, config, inherited, containerd.NewSandbox(id, options))
	if err != nil {
		log.G(ctx).WithError(err).Error("supervisor ends")
	}
	return err
}
