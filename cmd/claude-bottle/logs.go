package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	follow      bool
	since       string
	rawTerminal bool
}

func (a *application) logsCommand() *cobra.Command {
	var o logsOptions
	command := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what claude has said in a bottle",
		Long: `Show what claude has written to its standard output and errors, or to the terminal of its
own, in a bottle that was started on a terminal or with --detach: while it runs, and for
as long as something is kept of it. Of very much, the last is there: the log takes no more
than 32 MiB of the disk.

What is shown on a terminal passes the same filter as a session does.`,
		Example: `  claude-bottle logs claude
  claude-bottle logs claude --follow
  claude-bottle logs claude@k3x9p --since 10m
  claude-bottle logs claude --since 2026-11-26T09:00:00Z > log`,
		ValidArgsFunction: a.completeBottles,
		Args:              arguments("logs", "NAME"),
		RunE: func(command *cobra.Command, args []string) error {
			since, err := parseSince(o.since, time.Now())
			if err != nil {
				return err
			}
			return a.interruptible(command, func(ctx context.Context) error { return a.logs(ctx, args[0], since, o) })
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on until claude ends")
	flags.StringVar(&o.since, "since", "", "leave out what is older: a `time` as 2026-11-26T09:00:00Z, or how long ago as 10m")
	flags.BoolVar(&o.rawTerminal, "raw-tty", false, "do not filter escape sequences that reach this terminal")
	return command
}

// parseSince reads a point in time, or how long it is ago. "" is the beginning.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usageError{fmt.Errorf("--since %s: give a time as 2026-11-26T09:00:00Z, or how long ago as 10m", backend.Printable(text))}
	}
	return at, nil
}

// logs shows what was taken down, and with follow what comes after that.
func (a *application) logs(ctx context.Context, name string, since time.Time, o logsOptions) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	found, err := keeper.Find(ctx, name)
	if err != nil {
		return err
	}
	out, errs := io.Writer(a.out), io.Writer(a.err)
	if terminal.Is(a.out) && !o.rawTerminal {
		out = terminal.NewFilter(a.out)
	}
	if terminal.Is(a.err) && !o.rawTerminal {
		errs = terminal.NewFilter(a.err)
	}
	offset := int64(0)
	err = readSessionLog(ctx, keeper, found, func(piece supervise.Said) error {
		offset = piece.Offset
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if piece.Time.Before(since) {
			return nil
		}
		to := out
		if piece.Stream == "stderr" {
			to = errs
		}
		_, err := to.Write(piece.Data)
		return err
	})
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("nothing of %s was taken down: it was started without a terminal, and not detached: %w", backend.Printable(name), errdefs.ErrNotFound)
	case err != nil || !o.follow || !found.Running:
		return err
	}
	opened, reached, err := a.openLive(ctx, name)
	if errdefs.IsFailedPrecondition(err) {
		return nil // it has ended just now
	}
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(reached.Close(), opened.Close()) }()
	_, err = reached.Attach(ctx, backend.AttachOptions{From: offset, ReadOnly: true}, backend.Terminal{Out: out, Err: errs})
	return err
}
