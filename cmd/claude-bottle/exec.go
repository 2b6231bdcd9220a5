package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// execOptions are the flags of exec.
type execOptions struct {
	name        string
	argv        []string
	interactive bool
	tty         bool
	rawTerminal bool
	env         []string
}

func (a *application) execCommand() *cobra.Command {
	var o execOptions
	command := &cobra.Command{
		Use:   "exec NAME [flags] -- COMMAND [ARGS]",
		Short: "Run a command in a bottle that runs",
		Long: `Run a command beside claude in a bottle that runs: in /workspace, as the agent's user,
behind the same fence. It ends with this client.

Its environment is PATH and HOME, and what --env adds; what the bottle file gives to
claude is not in it. -it gives it this terminal.

The exit code is the command's own. 125 says that it could not be run, 126 that it
can't be executed, 127 that it is not there.`,
		Example: `  claude-bottle exec claude -- git status
  claude-bottle exec claude -it -- bash
  tar -c fixtures | claude-bottle exec claude -i -- tar -x
  claude-bottle exec claude -e CI=1 -- make test`,
		Annotations:       map[string]string{annotationOwnCode: "yes"},
		ValidArgsFunction: a.completeNames(1, runningBottle),
		Args: func(command *cobra.Command, args []string) error {
			if err := oneBeforeDash("exec takes the name of one bottle, and the command after --")(command, args); err != nil {
				return err
			}
			if len(args) < 2 {
				return usageError{errors.New("exec takes a command after --, such as `claude-bottle exec NAME -- sh`")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			o.name, o.argv = args[0], args[1:]
			return a.exec(command.Context(), o)
		},
	}
	flags := command.Flags()
	flags.BoolVarP(&o.interactive, "interactive", "i", false, "give the command this standard input")
	flags.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&o.env, "env", "e", nil, "`VAR=VALUE` for the command, or VAR as it is here")
	flags.BoolVar(&o.rawTerminal, "raw-tty", false, "do not filter escape sequences that reach this terminal")
	return command
}

// exec runs a command in a bottle that somebody else holds.
func (a *application) exec(ctx context.Context, o execOptions) error {
	ctx, signals := takeSignals(ctx)
	defer signals.release()
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	if o.tty && !tty.IsTerminal() {
		return usageError{errors.New("--tty needs a terminal on standard input and output: leave it out")}
	}
	env, err := a.execEnvironment(o)
	if err != nil {
		return err
	}
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	found, err := keeper.Find(ctx, o.name)
	if err != nil {
		return err
	}
	if !found.Running {
		return fmt.Errorf("bottle %s does not run: `claude-bottle resume %s` goes on with it: %w", o.name, found.Handle(), errdefs.ErrFailedPrecondition)
	}
	entered, err := keeper.Enter(ctx, found)
	if err != nil {
		return err
	}
	defer func() { _ = entered.Close(context.WithoutCancel(ctx)) }()
	screen := screen{tty: tty, given: o.tty, raw: o.rawTerminal, signals: signals}
	return a.onScreen(ctx, screen, func(ctx context.Context, session backend.Terminal) (int, error) {
		if !o.interactive && !o.tty {
			session.In = nil
		}
		return entered.Exec(ctx, o.argv, env, session)
	})
}

// execEnvironment is what the command gets beside PATH and HOME.
func (a *application) execEnvironment(o execOptions) ([]string, error) {
	var env []string
	if name, ok := a.lookup("TERM"); ok && o.tty {
		env = append(env, "TERM="+name)
	}
	for _, variable := range o.env {
		name, _, given := strings.Cut(variable, "=")
		if name == "" {
			return nil, usageError{fmt.Errorf("--env %s: it has no name, give VAR=VALUE or VAR", backend.Printable(variable))}
		}
		if !given {
			value, ok := a.lookup(name)
			if !ok {
				return nil, usageError{fmt.Errorf("--env %s: it is not set here, give %s=VALUE", backend.Printable(name), backend.Printable(name))}
			}
			variable = name + "=" + value
		}
		env = append(env, variable)
	}
	return env, nil
}
