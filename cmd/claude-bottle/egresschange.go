package main

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// controlTimeout bounds what a supervisor is asked.
const controlTimeout = 30 * time.Second

// control finds a running bottle and reaches its supervisor. The caller closes
// the client.
func (a *application) control(ctx context.Context, name string) (*supervise.Client, backend.Location, error) {
	where, err := a.locate(ctx, name)
	if err != nil {
		return nil, where, err
	}
	if !where.Held() {
		return nil, where, fmt.Errorf("bottle %s is not running: %w", backend.Printable(name), errdefs.ErrFailedPrecondition)
	}
	client, err := supervise.Connect(ctx, where.Run)
	return client, where, err
}

// controlled calls do with the supervisor of a running bottle.
func (a *application) controlled(command *cobra.Command, name string, do func(context.Context, *supervise.Client, backend.Location) error) error {
	ctx, release := signalled(command.Context())
	defer release()
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	if socket := a.usersSocket(); socket != "" {
		return a.controlledFar(ctx, name, do)
	}
	client, where, err := a.control(ctx, name)
	if err != nil {
		return err
	}
	defer client.Close()
	return do(ctx, client, where)
}

// controlledFar is controlled through a controller.
func (a *application) controlledFar(ctx context.Context, name string, do func(context.Context, *supervise.Client, backend.Location) error) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	far, ok := opened.(*remote.Client)
	if !ok {
		return fmt.Errorf("bottles of this backend are not reached through a controller: %w", errdefs.ErrNotImplemented)
	}
	found, client, err := far.Supervisor(ctx, name)
	if err != nil {
		return err
	}
	defer client.Close()
	where := backend.Location{Status: backend.Status{Name: found.ID.Name, ID: found.ID.String()}}
	if found.Plan != nil {
		where.Bottle = found.Plan.Bottle
	}
	return do(ctx, client, where)
}

func (a *application) egressAllowCommand() *cobra.Command {
	return a.changeCommand(&cobra.Command{
		Use:   "allow NAME HOST[:PORT]",
		Short: "Let a running bottle reach a host",
		Long: `Let a running bottle reach a host, for as long as it runs. HOST is written as in
egress.allow: a name or *.suffix, without a port 80 and 443, or ssh://HOST. Addresses
that are not public stay closed unless the bottle file names them.`,
		Example: "  claude-bottle egress allow claude example.com\n  claude-bottle egress allow claude '*.example.com:8443' --save",
	}, true)
}

func (a *application) egressDenyCommand() *cobra.Command {
	return a.changeCommand(&cobra.Command{
		Use:   "deny NAME HOST[:PORT]",
		Short: "Close a host to a running bottle, and cut its connections",
		Long: `Close a host to a running bottle, for as long as it runs: on one port, or without a
port on every one. Connections to it are cut. What is held for an answer is refused.`,
		Example: "  claude-bottle egress deny claude example.com\n  claude-bottle egress deny claude example.com:80 --save",
	}, false)
}

// changeCommand completes allow and deny.
func (a *application) changeCommand(command *cobra.Command, allow bool) *cobra.Command {
	verb := command.Name()
	var save bool
	command.Args = arguments(verb, "NAME", "HOST[:PORT]")
	command.ValidArgsFunction = a.completeNames(1, runningBottle)
	command.Flags().BoolVar(&save, "save", false, "also write it into egress.allow of the bottle file, for later runs")
	command.RunE = func(command *cobra.Command, args []string) error {
		name, entry := args[0], args[1]
		if _, err := egress.ParseRule(entry); err != nil {
			return usageError{err}
		}
		return a.controlled(command, name, func(ctx context.Context, client *supervise.Client, where backend.Location) error {
			say, word := client.Allow, "may reach"
			if !allow {
				say, word = client.Deny, "may no longer reach"
			}
			changed, err := say(ctx, entry)
			if err != nil {
				return fmt.Errorf("%s %s: %w", verb, backend.Printable(entry), err)
			}
			a.say("bottle %s %s %s in this run%s", where.Name, word, entry, cutOff(changed.Cut))
			if !save {
				return nil
			}
			return a.saveAllowed(where.Bottle, entry, allow)
		})
	}
	return command
}

func cutOff(count int) string {
	switch count {
	case 0:
		return ""
	case 1:
		return "; 1 connection was cut"
	default:
		return fmt.Sprintf("; %d connections were cut", count)
	}
}

// saveAllowed changes the user's own bottle file.
func (a *application) saveAllowed(bottle, entry string, allow bool) error {
	options, err := a.manifestOptions()
	if err != nil {
		return err
	}
	path, changed, err := manifest.SaveAllowed(options, bottle, entry, allow)
	switch {
	case err != nil:
		return err
	case changed:
		a.say("saved in %s", path)
	case allow:
		a.say("%s has it already", path)
	default:
		return fmt.Errorf("save: %s does not list %s under egress.allow: what allows it is another entry, a preset or a bottle that it extends: change that: %w",
			path, backend.Printable(entry), errdefs.ErrFailedPrecondition)
	}
	return nil
}

// say tells people what was done, unless they want it quiet.
func (a *application) say(format string, args ...any) {
	if !a.quiet {
		_, _ = fmt.Fprintln(a.err, backend.Printable(fmt.Sprintf(format, args...)))
	}
}
