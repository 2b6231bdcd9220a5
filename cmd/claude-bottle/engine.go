package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/engine"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/spf13/cobra"
)

func (a *application) engineCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "engine",
		Short: "See, start and end the containerd that comes with the program",
		Long: `The engine is a containerd that comes with the program. Where no other one answers, the
first command that needs one starts it, and it ends by itself once no bottle runs and no
command has used it for --engine-idle. It shares nothing with a containerd or Docker of
the host. --no-engine leaves it out.`,
		Example: `  claude-bottle engine status
  claude-bottle engine start --engine-idle 0   # until engine stop
  claude-bottle engine logs -f
  claude-bottle engine stop`,
		Args: cobra.NoArgs,
		// So that cobra looks at the arguments: a verb that isn't one is an error.
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(a.engineStartCommand(), a.engineStatusCommand(), a.engineStopCommand(), a.engineLogsCommand(), a.engineKeepCommand())
	return command
}

// withEngine does something with the engine of these roots.
func (a *application) withEngine(do func(*engine.Engine, installation) error) error {
	parts, err := findInstallation()
	if err != nil {
		return err
	}
	bundled, err := a.engine(parts)
	if err != nil {
		return err
	}
	return do(bundled, parts)
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the engine needs root: run this with sudo: %w", errdefs.ErrPermissionDenied)
	}
	return nil
}

func (a *application) engineStartCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "start",
		Short:   "Start the engine, unless it runs, and print its socket",
		Example: "  claude-bottle engine start\n  claude-bottle engine start --engine-idle 0",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return a.withEngine(func(bundled *engine.Engine, parts installation) error {
				return a.interruptible(command, func(ctx context.Context) error {
					release, err := bundled.Use(ctx)
					if err != nil {
						return err
					}
					defer release()
					if err := a.startEngine(ctx, bundled, parts); err != nil {
						return err
					}
					_, err = fmt.Fprintln(a.out, bundled.Address())
					return err
				})
			})
		},
	}
}

// engineView is what status shows.
type engineView struct {
	engine.Status
	Version string `json:"version,omitempty"`
}

func (a *application) engineStatusCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "status",
		Short:   "Say whether the engine runs, and what for",
		Long:    "Say whether the engine runs, and what for. The exit code is 0 when it runs, 1 when it\ndoes not. Nothing is started.",
		Example: "  claude-bottle engine status\n  claude-bottle engine status -o json",
		Args:    noArguments,
	}
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := needRoot(); err != nil {
			return err
		}
		return a.withEngine(func(bundled *engine.Engine, _ installation) error {
			status, err := bundled.Status()
			if err != nil {
				return err
			}
			view := engineView{Status: status}
			if status.Running {
				if view.Version, err = daemonVersion(command.Context(), status.Address); err != nil {
					log.G(command.Context()).WithError(err).Warn("ask the engine for its version")
				}
			}
			done, err := output.structured(a.out, view)
			if err == nil && !done {
				err = a.printEngine(view)
			}
			if err == nil && !status.Running {
				err = &exitError{code: exitError1}
			}
			return err
		})
	}
	return command
}

// daemonVersion asks the daemon itself.
func daemonVersion(ctx context.Context, address string) (string, error) {
	client, err := runtime.Connect(ctx, runtime.Options{Address: address, Namespace: "default"})
	if err != nil {
		return "", err
	}
	return client.Daemon().Version, client.Close()
}

func (a *application) printEngine(view engineView) error {
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	phase, since, keeper := "stopped", "", number(view.Keeper)
	if view.Running {
		phase = "running"
	}
	if view.Since != nil {
		since = view.Since.Local().Format(time.DateTime)
	}
	if view.Running && view.PID > 0 && view.Keeper == 0 {
		keeper = "none (the next command starts one)"
	}
	rows := [][]string{
		{"engine", phase}, {"containerd", view.Version}, {"socket", view.Address}, {"process", number(view.PID)}, {"keeper", keeper},
		{"since", since}, {"idle time", view.Idle}, {"runs", strings.Join(view.Tasks, ", ")}, {"root", view.Root}, {"state", view.State}, {"log", view.Log},
	}
	for i, row := range rows {
		rows[i][0] = row[0] + ":"
	}
	return table(a.out, nil, rows)
}

func (a *application) engineStopCommand() *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:   "stop",
		Short: "End the engine",
		Long: `End the engine. While bottles run, or a command uses it, that is refused (exit code 3),
unless --force is given: bottles live on without it, and the next command starts it
again. Images and kept bottles stay as they are.`,
		Example: "  claude-bottle engine stop\n  claude-bottle engine stop --force",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return a.withEngine(func(bundled *engine.Engine, _ installation) error {
				return a.interruptible(command, func(ctx context.Context) error { return a.stopEngine(ctx, bundled, force) })
			})
		},
	}
	command.Flags().BoolVar(&force, "force", false, "also while it is in use: bottles live on")
	return command
}

// stopEngine ends the engine, and says what that was.
func (a *application) stopEngine(ctx context.Context, bundled *engine.Engine, force bool) error {
	before, err := bundled.Status()
	if err != nil {
		return err
	}
	if err := bundled.Stop(ctx, force); err != nil || a.quiet {
		return err
	}
	_, err = fmt.Fprintln(a.out, stoppedEngine(before))
	return err
}

// stoppedEngine says what has ended, by what was there before.
func stoppedEngine(before engine.Status) string {
	switch {
	case before.PID == 0 && before.Keeper == 0:
		return "the engine does not run: nothing was stopped"
	case len(before.Tasks) > 0:
		return fmt.Sprintf("stopped the engine (process %d); what it ran lives on: %s", cmp.Or(before.PID, before.Keeper), strings.Join(before.Tasks, ", "))
	default:
		return fmt.Sprintf("stopped the engine (process %d)", cmp.Or(before.PID, before.Keeper))
	}
}

func (a *application) engineLogsCommand() *cobra.Command {
	var follow bool
	command := &cobra.Command{
		Use:     "logs",
		Short:   "Show what the engine has logged",
		Example: "  claude-bottle engine logs\n  claude-bottle engine logs --follow",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return a.withEngine(func(bundled *engine.Engine, _ installation) error {
				return a.interruptible(command, func(ctx context.Context) error {
					err := bundled.ReadLog(ctx, a.out, follow)
					if errors.Is(err, fs.ErrNotExist) {
						return fmt.Errorf("the engine has logged nothing yet: it has never been started with these roots: %w", errdefs.ErrNotFound)
					}
					return err
				})
			})
		},
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on until it is interrupted")
	return command
}

// engineKeepCommand is the process that stays with the engine. Users never call it.
func (a *application) engineKeepCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "keep",
		Short:  "Stay with the engine (started by claude-bottle itself)",
		Hidden: true,
		Args:   noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			if !command.Flags().Changed("log-level") {
				if err := log.SetLevel("info"); err != nil {
					return fmt.Errorf("set log level: %w", err)
				}
			}
			signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
			syscall.Umask(0o022) // bottles pass directories of containerd's, whatever who starts it hides
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM)
			defer stop()
			return a.withEngine(func(bundled *engine.Engine, _ installation) error {
				err := bundled.Keep(ctx, a.engineIdle)
				if errdefs.IsUnavailable(err) {
					log.G(ctx).WithError(err).Info("nothing to do")
				}
				return err
			})
		},
	}
}
