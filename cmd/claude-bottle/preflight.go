package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
)

// preflight shows the plan, asks, and collects the secrets that it names.
func (a *application) preflight(ctx context.Context, o startOptions, options manifest.Options, spec backend.Spec, plan *backend.Plan, tty *terminal.Terminal) (backend.Secrets, error) {
	if err := backend.CheckSecrets(plan, a.lookup); err != nil {
		return backend.Secrets{}, err
	}
	if err := a.checkRoutes(plan, options.Home); err != nil {
		return backend.Secrets{}, err
	}
	if !a.quiet || !o.yes {
		if done, err := o.output.structured(a.err, plan); err != nil {
			return backend.Secrets{}, err
		} else if !done {
			if err := plan.Print(a.err); err != nil {
				return backend.Secrets{}, err
			}
		}
		_, _ = io.WriteString(a.err, o.alsoShown)
	}
	if err := a.approveProject(ctx, options, spec, tty); err != nil {
		return backend.Secrets{}, err
	}
	if !o.yes {
		question := o.question
		if question == "" {
			question = "launch this agent? [y/N] "
		}
		yes, err := tty.Confirm(ctx, a.err, question)
		if err != nil {
			return backend.Secrets{}, fmt.Errorf("%w (%w)", errDeclined, err)
		}
		if !yes {
			return backend.Secrets{}, errDeclined
		}
	}
	secrets, err := backend.ResolveSecrets(plan, a.lookup, func(prompt string) (string, error) { return a.ask(ctx, tty, prompt) })
	if err != nil {
		return backend.Secrets{}, err
	}
	secrets.Routes, err = a.readRoutes(ctx, plan, options.Home)
	return secrets, err
}

// printer is a plan, of whatever.
type printer interface{ Print(w io.Writer) error }

// printPlan prints what a try is for.
func printPlan(w *os.File, plan printer, output *format) error {
	done, err := output.structured(w, plan)
	if done || err != nil {
		return err
	}
	return plan.Print(w)
}

// approveProject asks for an agent file that comes with the repository, once
// for each content: --yes does not answer this.
func (a *application) approveProject(ctx context.Context, options manifest.Options, spec backend.Spec, tty *terminal.Terminal) error {
	if !spec.Manifest.FromProject {
		return nil
	}
	approved, err := manifest.Approved(options, spec.Manifest)
	if err != nil || approved {
		return err
	}
	yes, err := tty.Confirm(ctx, a.err, "the agent file is from this repository and was never approved with this content. Approve it? [y/N] ")
	if err != nil || !yes {
		return fmt.Errorf("not launched: the agent file of this repository is not approved, and --yes does not cover it: read it and answer y on a terminal: %w", errdefs.ErrPermissionDenied)
	}
	return manifest.Approve(options, spec.Manifest)
}

// ask reads one value that the bottle file wants asked, without an echo.
func (a *application) ask(ctx context.Context, tty *terminal.Terminal, prompt string) (string, error) {
	if tty.IsTerminal() {
		_, _ = fmt.Fprintf(a.err, "%s: ", backend.Printable(prompt))
		defer func() { _, _ = fmt.Fprintln(a.err) }()
	}
	value, err := tty.Secret(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", backend.Printable(prompt), err)
	}
	return strings.TrimRight(value, "\r"), nil
}
