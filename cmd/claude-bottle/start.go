package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// startOptions are the flags of start.
type startOptions struct {
	agent               string
	claudeArgs          []string
	copyCwd             bool
	includeIgnored      bool
	includeSecrets      bool
	name                string
	yes                 bool
	dryRun              bool
	runtime             string
	image               string
	remoteControl       bool
	forwardOAuthToken   bool
	discard             bool
	allowVulnerableRunc bool
	rawTerminal         bool
	timings             bool
	detach              bool
	detachKeys          detachKeys
	life                lifeFlags
	bottle              string // instead of the agent's own
	output              *format
	// question is what is asked after the plan, and alsoShown what stands between.
	question, alsoShown string
}

func (a *application) startCommand() *cobra.Command {
	var o startOptions
	command := &cobra.Command{
		Use:   "start AGENT [flags] [-- CLAUDE ARGS]",
		Short: "Start a bottle and run claude in it",
		Long: `Start a bottle and run claude in it on this terminal.

The plan is shown first: image by digest, runtime, files with their hashes, hosts
and limits. Only a yes on a terminal, or --yes, launches it. When claude ends the
bottle is taken down; work that is nowhere else stays on the host, and where it is
is said. What follows -- goes to claude.

--cwd leaves out what git ignores, what a file .bottleignore names (its lines are
those of .gitignore), and what looks like a secret by its name or content: the plan
lists it, -o json the whole of it.

What a devcontainer.json is to run, which the bottle file names, runs once in a new bottle
before claude does; when it fails, nothing is kept of the bottle.

--detach starts claude on a terminal of its own, or without one when it is given -p, and
returns: attach shows it, logs what it said, stop ends it. On a terminal Ctrl-P Ctrl-Q
leaves a bottle that was started in the foreground in the same way, and so does a
terminal that hangs up.

The exit code is claude's own. 125 says that the bottle could not be started, 126
that claude can't be executed, 127 that the image has no claude, 3 that the name is
in use.`,
		Example: `  claude-bottle start claude --cwd
  claude-bottle start claude --yes -- -p "explain this repository"
  claude-bottle start claude --cwd --include-ignored
  claude-bottle start claude --cwd --dry-run -o yaml
  claude-bottle start claude --name second --runtime gvisor
  claude-bottle start claude --cwd --yes --detach -- -p "fix the tests"
  claude-bottle start claude --detach --restart OnFailure --deadline 2h --ttl 24h --label team=web`,
		Annotations:       map[string]string{annotationOwnCode: "yes"},
		ValidArgsFunction: a.completeFiles(manifest.KindAgent),
		Args:              oneBeforeDash("start takes the name of one agent"),
		RunE: func(command *cobra.Command, args []string) error {
			o.agent, o.claudeArgs = args[0], args[1:]
			return a.start(command.Context(), o)
		},
	}
	o.addSpec(command)
	flags := command.Flags()
	flags.StringVar(&o.name, "name", "", "`name` of the bottle (default: the agent's)")
	flags.BoolVar(&o.remoteControl, "remote-control", false, "start claude with --remote-control")
	flags.BoolVar(&o.discard, "discard", false, "throw the work away at the end")
	o.addLaunch(command)
	return command
}

// addSpec adds the flags that say what a new bottle is.
func (o *startOptions) addSpec(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&o.copyCwd, "cwd", false, "copy the working directory with its .git into the bottle")
	flags.BoolVar(&o.includeIgnored, "include-ignored", false, "with --cwd: copy what git ignores, too")
	flags.BoolVar(&o.includeSecrets, "include-secrets", false, "with --cwd: copy what looks like a secret, too")
	flags.StringVar(&o.runtime, "runtime", "", "auto, gvisor or runc (default: the bottle file's, else auto)")
	flags.StringVar(&o.image, "image", "", "image `reference` (default: the bottle file's)")
	flags.BoolVar(&o.forwardOAuthToken, "forward-oauth-token", false, "use CLAUDE_CODE_OAUTH_TOKEN, also when an API key is set; it stays on the host")
}

// addLaunch adds the flags of every verb that launches.
func (o *startOptions) addLaunch(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVarP(&o.yes, "yes", "y", false, "launch without asking")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the plan and create nothing")
	flags.BoolVar(&o.allowVulnerableRunc, "allow-vulnerable-runc", false, "accept a runc with known ways out")
	flags.BoolVar(&o.rawTerminal, "raw-tty", false, "do not filter escape sequences that reach this terminal")
	flags.BoolVarP(&o.detach, "detach", "d", false, "start claude in the background, and print the bottle's name")
	o.detachKeys.add(flags)
	o.life.add(command)
	flags.BoolVar(&o.timings, "timings", false, "print how long each step took")
	o.output = addFormat(command, "text", "json", "yaml")
}

// oneBeforeDash demands one argument before --: takes says whose.
func oneBeforeDash(takes string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		before := len(args)
		if dash := command.ArgsLenAtDash(); dash >= 0 {
			before = dash
		}
		if before != 1 {
			return usageError{fmt.Errorf("%s, got %d: `claude-bottle list` shows them; arguments for claude stand after --", takes, before)}
		}
		return nil
	}
}

// start is the whole job: manifest, plan, preflight, launch, claude, teardown.
func (a *application) start(ctx context.Context, o startOptions) error {
	began := time.Now()
	if err := supervise.Harden(); err != nil { // secrets are read here, before the supervisor has them
		return err
	}
	spec, options, err := a.spec(o)
	if err != nil {
		return err
	}
	return a.session(ctx, o, began, func(context.Context, closingBackend) (backend.Spec, manifest.Options, error) {
		return spec, options, nil
	})
}

// specify makes the wish that a session is planned from.
type specify func(context.Context, closingBackend) (backend.Spec, manifest.Options, error)

// session plans a bottle, asks, runs claude in it and takes it down.
func (a *application) session(ctx context.Context, o startOptions, began time.Time, specify specify) (err error) {
	ctx, signals := takeSignals(ctx)
	defer signals.release()
	l, err := a.newLaunching(ctx, o, began)
	if err != nil {
		return err
	}
	defer l.close()
	if o.timings {
		defer func() { err = errors.Join(err, l.progress.printTimings(a.err, o.output)) }()
	}
	spec, options, err := specify(ctx, l.opened)
	if err != nil {
		return err
	}
	plan, err := l.plan(ctx, spec)
	if err != nil {
		return err
	}
	defer func() { _ = plan.Workspace.Close() }()
	if o.dryRun {
		return printPlan(a.out, plan, o.output)
	}
	secrets, err := l.agree(ctx, options, spec, plan)
	if err != nil {
		return err
	}
	if o.detach {
		if err := l.detached(ctx, plan, secrets); err != nil {
			return err
		}
		return a.sayDetached(plan)
	}
	return l.attached(ctx, plan, secrets, signals)
}

// attached is all from the yes on for a bottle that ends with its client, unless that
// leaves it.
func (l *launching) attached(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, signals *signals) (err error) {
	a := l.app
	bottle, err := l.launch(ctx, plan, secrets)
	if err != nil {
		return err
	}
	left := false
	defer func() {
		if left {
			a.haveController(ctx, l.opened)
			return
		}
		err = errors.Join(err, a.end(ctx, bottle, plan))
	}()
	err = l.attach(ctx, bottle, plan, signals)
	if leaves(err, l.tty) {
		left, err = a.leave(ctx, bottle, plan, err)
	}
	return err
}

// attach runs claude on the terminal and returns its exit code as an error.
func (l *launching) attach(ctx context.Context, bottle backend.Bottle, plan *backend.Plan, signals *signals) error {
	screen := screen{tty: l.tty, given: l.tty.IsTerminal(), raw: plan.RawTerminal, signals: signals, detachKeys: l.options.detachKeys}
	return l.app.onScreen(ctx, screen, func(ctx context.Context, session backend.Terminal) (int, error) {
		ran := l.progress.Step("claude")
		code, err := bottle.ExecClaude(ctx, plan.Command, session)
		ran(err)
		return code, err
	})
}

// afterSignal names the signal that has ended ctx instead of what followed from
// that.
func (a *application) afterSignal(ctx context.Context, err error) error {
	var ended signalError
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return err
}

// end says what is unsaved and takes the bottle down.
func (a *application) end(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if unsaver, ok := bottle.(backend.Unsaver); ok && !plan.Discard {
		unsaved, err := unsaver.Unsaved(ctx)
		if err != nil {
			_, _ = fmt.Fprintf(a.err, "claude-bottle: can't tell what is unsaved: %s\n", printableLines(err.Error()))
		} else {
			printUnsaved(a.err, unsaved, plan)
		}
	}
	a.printReport(ctx, bottle, plan)
	return bottle.Close(ctx)
}

var errDeclined = fmt.Errorf("not launched: only a yes on a terminal, or --yes, launches a bottle: %w", errdefs.ErrAborted)
