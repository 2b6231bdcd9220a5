package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
)

// launching is the one way in which verbs bring bottles up, whoever runs them: the image is
// made that a recipe makes, the bottle is planned, shown and said yes to, its secrets are read,
// it is launched, and left to its supervisor when nobody stays with it.
type launching struct {
	app      *application
	options  startOptions
	opened   closingBackend
	progress *progress
	tty      *terminal.Terminal
}

// newLaunching opens what a launch needs. The caller closes it.
func (a *application) newLaunching(ctx context.Context, o startOptions, began time.Time) (*launching, error) {
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	l := &launching{app: a, options: o, progress: newProgress(a.err, a.quiet, began), tty: tty}
	if l.opened, err = a.openBackend(ctx, l.progress); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *launching) close() {
	l.progress.finish()
	_ = l.opened.Close()
}

// of is the same launching of another bottle.
func (l *launching) of(o startOptions) *launching {
	other := *l
	other.options = o
	return &other
}

// plan sees to it that the image is there, where a recipe makes it, and plans the bottle.
// The caller closes the plan's workspace.
func (l *launching) plan(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	if err := l.haveImage(ctx, spec); err != nil {
		return nil, l.app.afterSignal(ctx, err)
	}
	return l.prepare(ctx, spec)
}

// prepare plans a bottle whose image was seen to.
func (l *launching) prepare(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	planned := l.progress.Step("prepare")
	plan, err := l.opened.Prepare(ctx, spec)
	planned(err)
	if err != nil {
		return nil, l.app.afterSignal(ctx, err)
	}
	return plan, nil
}

// approved has the files of repositories approved that say what is built.
func (l *launching) approved(ctx context.Context, spec backend.Spec) error {
	options, err := l.app.manifestOptions()
	if err != nil {
		return err
	}
	return l.app.approveForeign(ctx, options, spec, l.tty)
}

// agree shows the plan, has it said yes to, and reads the secrets that it names.
func (l *launching) agree(ctx context.Context, options manifest.Options, spec backend.Spec, plan *backend.Plan) (backend.Secrets, error) {
	return l.app.preflight(ctx, l.options, options, spec, plan, l.tty)
}

// launch brings the bottle up, and runs the commands of its plan. It ends with the caller,
// who closes it, unless it is left.
func (l *launching) launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) (backend.Bottle, error) {
	bottle, err := l.opened.Launch(ctx, plan, secrets)
	l.progress.finish()
	if err != nil {
		return nil, l.app.afterSignal(ctx, err)
	}
	if err := l.outfit(ctx, bottle, plan); err != nil {
		return nil, errors.Join(l.app.afterSignal(ctx, err), bottle.Close(ctx))
	}
	return bottle, nil
}

// leave starts claude in the bottle, and leaves both to the supervisor. After an error
// the bottle is taken down.
func (l *launching) leave(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) error {
	if err := beginDetached(ctx, bottle, plan); err != nil {
		return errors.Join(l.app.afterSignal(ctx, err), l.app.end(ctx, bottle, plan))
	}
	return nil
}

// detached is all of it from the yes on, for a bottle that nobody stays with.
func (l *launching) detached(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) error {
	bottle, err := l.launch(ctx, plan, secrets)
	if err != nil {
		return err
	}
	if err := l.leave(ctx, bottle, plan); err != nil {
		return err
	}
	l.app.haveController(ctx, l.opened)
	return nil
}

// sayDetached says what a bottle is called that was left to its supervisor.
func (a *application) sayDetached(plan *backend.Plan) error {
	if !a.quiet {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: `claude-bottle attach %s` shows it, `logs %s` what it said, `stop %s` ends it\n", plan.Name, plan.Name, plan.Name)
	}
	_, err := io.WriteString(a.out, plan.Name+"\n")
	return err
}
