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
	if err := a.approveForeign(ctx, options, spec, tty); err != nil {
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

// approveForeign asks for files that come with a repository, once for each content: --yes
// does not answer this.
func (a *application) approveForeign(ctx context.Context, options manifest.Options, spec backend.Spec, tty *terminal.Terminal) error {
	files, err := manifest.Unapproved(options, spec.Manifest)
	if err != nil {
		return err
	}
	for _, file := range files {
		name, question := "the agent file of this repository", "the agent file is from this repository"
		switch manifest.Kind(file.Kind) {
		case manifest.KindDevcontainer:
			name = backend.Printable(file.Path)
			question = name + " says what the bottle is made of and runs"
		case manifest.KindDockerfile:
			name = backend.Printable(file.Path)
			question = name + " says how BuildKit makes the image"
		}
		yes, err := tty.Confirm(ctx, a.err, question+", and was never approved with this content. Approve it? [y/N] ")
		if err != nil || !yes {
			return fmt.Errorf("not launched: %s is not approved, and --yes does not cover it: read it and answer y on a terminal: %w", name, errdefs.ErrPermissionDenied)
		}
		if err := manifest.Approve(options, file); err != nil {
			return err
		}
	}
	return nil
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
