package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// attachOptions are the flags of attach.
type attachOptions struct {
	readOnly    bool
	rawTerminal bool
	keys        detachKeys
}

func (a *application) attachCommand() *cobra.Command {
	var o attachOptions
	command := &cobra.Command{
		Use:   "attach NAME",
		Short: "Come back to claude in a bottle that runs",
		Long: `Show the screen of claude in a bottle that runs, as it is now, and go on there. Several
clients can be attached at a time; all see the same. The size of the terminal is that of
the client that has set it last.

Ctrl-P Ctrl-Q leaves the bottle as it is. The exit code is claude's own, once it ends;
125 says that it can't be attached to: it has ended, or was started without a terminal
and not detached.`,
		Example: `  claude-bottle attach claude
  claude-bottle attach claude --read-only
  claude-bottle attach claude --detach-keys ctrl-]`,
		Annotations:       map[string]string{annotationOwnCode: "yes"},
		ValidArgsFunction: a.completeNames(1, runningBottle),
		Args:              arguments("attach", "NAME"),
		RunE: func(command *cobra.Command, args []string) error {
			return a.attachTo(command.Context(), args[0], o)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.readOnly, "read-only", false, "only look: what is typed here is not passed on")
	flags.BoolVar(&o.rawTerminal, "raw-tty", false, "do not filter escape sequences that reach this terminal")
	o.keys.add(flags)
	return command
}

// attachTo carries claude's session of a bottle that somebody else holds.
func (a *application) attachTo(ctx context.Context, name string, o attachOptions) error {
	ctx, signals := takeSignals(ctx)
	defer signals.release()
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	opened, reached, err := a.openLive(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(reached.Close(), opened.Close()) }()
	screen := screen{tty: tty, given: tty.IsTerminal(), raw: o.rawTerminal, signals: signals, detachKeys: o.keys}
	err = a.onScreen(ctx, screen, func(ctx context.Context, session backend.Terminal) (int, error) {
		return reached.Attach(ctx, backend.AttachOptions{From: -1, ReadOnly: o.readOnly}, session)
	})
	if errors.Is(err, terminal.ErrDetached) {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: left running: `claude-bottle attach %s` comes back\n", backend.Printable(name))
		return nil
	}
	return err
}

// openLive reaches a bottle that runs. The caller closes both.
func (a *application) openLive(ctx context.Context, name string) (closingBackend, backend.Live, error) {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return nil, nil, err
	}
	opener, err := openerOf(opened)
	if err != nil {
		return nil, nil, errors.Join(err, opened.Close())
	}
	reached, err := opener.Open(ctx, name)
	if err != nil {
		return nil, nil, errors.Join(err, opened.Close())
	}
	return opened, reached, nil
}

// openerOf finds that power of a backend.
func openerOf(opened closingBackend) (backend.Opener, error) {
	opener, ok := opened.(backend.Opener)
	if !ok {
		return nil, fmt.Errorf("bottles of this backend are reached by their own client alone: %w", errdefs.ErrNotImplemented)
	}
	return opener, nil
}
