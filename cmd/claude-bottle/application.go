package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/engine"
	"github.com/claude-bottle/claude-bottle/image/credentials"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/log"
	"github.com/spf13/cobra"
)

// streams are the standard ones.
type streams struct{ in, out, err *os.File }

// application is what all verbs share: where they read and write, and the flags
// that stand before the verb.
type application struct {
	streams
	lookup func(string) (string, bool)

	address   string
	namespace string
	root      string
	runRoot   string
	logLevel  string
	logFormat string
	logFile   string
	quiet     bool
	// hostsDir is said by a flag of the verbs that pull.
	hostsDir string
	// noController starts none.
	noController bool
	// verb is the command that runs, without the program's name.
	verb string
	// noEngine starts none, engineIdle is how long one goes on that nobody uses.
	noEngine   bool
	engineIdle time.Duration
	idleGiven  func() bool
	// looksOn keeps no engine up and starts none: a service that waits for bottles. serves
	// says that it does so all the same, where users need one.
	looksOn, serves bool
	// held is the engine that this process is known to use; nil for none.
	held *heldEngine
	// daemon is the socket that was chosen, "" before that.
	daemon string
}

// run executes one command line and returns the exit code.
func (a *application) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = usageError{errors.New(strings.Join(strings.Fields(err.Error()), " "))}
	}
	code := exitCode(command, err)
	var exit *exitError
	if err != nil && (!errors.As(err, &exit) || exit.err != nil) {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s\n", printableLines(err.Error()))
		var usage usageError
		if errors.As(err, &usage) {
			_, _ = fmt.Fprintf(a.err, "See '%s --help'.\n", command.CommandPath())
		}
	}
	return code
}

func (a *application) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "claude-bottle",
		Short: "Run claude in an isolated, disposable bottle",
		Long: `claude-bottle runs claude in a bottle: an isolated, disposable environment on a
containerd socket, under gVisor whenever it is there. No Docker daemon is needed.
Users who are not root run theirs through a controller, by $CLAUDE_BOTTLE_SOCKET or
/run/claude-bottle.sock, as members of the group claude-bottle.

A bottle has no network card. What it may reach stands in its bottle file, and
the credential for the Anthropic API never enters it.`,
		Example: `  claude-bottle init                        # write a first agent and bottle file
  claude-bottle start claude --cwd          # let it work on a copy of this directory
  claude-bottle start claude -- -p "hello"  # without a terminal
  claude-bottle list
  claude-bottle diff claude                 # what it has changed
  claude-bottle apply claude                # put that onto your files
  claude-bottle cleanup`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.verb = strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		return a.setUpLogging(cmd.Context())
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.address, "address", "", "containerd `socket` (default $CONTAINERD_ADDRESS, else "+runtime.SystemAddress+" if it answers, else the bundled engine)")
	flags.StringVar(&a.namespace, "namespace", a.environment("CONTAINERD_NAMESPACE", containerd.DefaultNamespace), "containerd namespace")
	flags.StringVar(&a.root, "root", containerd.DefaultRoot, "`directory` of what outlives a reboot")
	flags.StringVar(&a.runRoot, "run-root", containerd.DefaultRunRoot, "`directory` of what does not")
	flags.StringVar(&a.logLevel, "log-level", "warning", "trace, debug, info, warning or error")
	flags.StringVar(&a.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&a.logFile, "log-file", "", "`file` that the log is appended to, instead of stderr")
	flags.BoolVar(&a.noController, "no-controller", a.environment(withoutController, "") != "", "start no controller for a bottle that lives on; as a non-empty $"+withoutController)
	flags.BoolVar(&a.noEngine, "no-engine", a.environment(withoutEngine, "") != "", "start no containerd where none answers; as a non-empty $"+withoutEngine)
	flags.DurationVar(&a.engineIdle, "engine-idle", engine.DefaultIdle, "`time` that the engine goes on when nobody uses it, if it has to be started; 0 is for ever")
	a.idleGiven = func() bool { return flags.Changed("engine-idle") }
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no hints")
	root.AddCommand(
		a.startCommand(), a.listCommand(), a.infoCommand(), a.initCommand(), a.editCommand(),
		a.resumeCommand(), a.forkCommand(), a.attachCommand(), a.logsCommand(), a.execCommand(),
		a.portForwardCommand(), a.stopCommand(), a.waitCommand(), a.restartCommand(), a.runCommand(), a.topCommand(), a.copyCommand(), a.diffCommand(), a.applyCommand(),
		a.fetchCommand(), a.mergeCommand(), a.removeCommand(), a.gcCommand(),
		a.getCommand(), a.describeCommand(), a.deleteCommand(), a.controllerCommand(),
		a.imageCommand(), a.egressCommand(), a.cleanupCommand(), a.doctorCommand(), a.schemaCommand(), a.versionCommand(), a.superviseCommand(), a.engineCommand(),
	)
	return root
}

func (a *application) environment(name, fallback string) string {
	if value, ok := a.lookup(name); ok && value != "" {
		return value
	}
	return fallback
}

// openBackend opens the backend that CLAUDE_BOTTLE_BACKEND names. The caller
// closes it.
func (a *application) openBackend(ctx context.Context, progress backend.Progress) (closingBackend, error) {
	var opened closingBackend
	name, _ := a.lookup("CLAUDE_BOTTLE_BACKEND")
	factory, err := backend.Choose(name, map[string]backend.Factory{
		"containerd": func(ctx context.Context) (backend.Backend, error) {
			var err error
			if socket := a.usersSocket(); socket != "" {
				opened, err = a.openRemote(ctx, socket, progress)
				return opened, err
			}
			options, err := a.containerdOptions(ctx)
			if err != nil {
				return nil, err
			}
			options.Progress = progress
			opened, err = containerd.New(ctx, options)
			return opened, err
		},
	})
	if err != nil {
		return nil, &exitError{code: exitOurs, err: err}
	}
	if _, err := factory(ctx); err != nil {
		return nil, err
	}
	return opened, nil
}

// closingBackend is a Backend that holds a connection.
type closingBackend interface {
	backend.Backend
	io.Closer
}

// containerdOptions say where the daemon is, which is started if need be.
func (a *application) containerdOptions(ctx context.Context) (containerd.Options, error) {
	parts, err := findInstallation()
	if err != nil {
		return containerd.Options{}, err
	}
	address, err := a.findDaemon(ctx, parts)
	if err != nil {
		return containerd.Options{}, err
	}
	shim, _ := a.lookup("CLAUDE_BOTTLE_SHIM")
	home, _ := os.UserHomeDir() // without one there are no logins, unless a variable says where
	return containerd.Options{
		Address: address, Namespace: a.namespace, Root: a.root, RunRoot: a.runRoot,
		Init: parts.init, Executable: parts.executable, Libexec: parts.libexec, Shim: shim,
		Registries: runtime.Registries{Logins: credentials.File(a.lookup, home), HostDirs: a.hostDirs()},
		Require: func() (backend.RuntimePolicy, error) {
			host, err := manifest.LoadHost(manifest.Options{HostFile: manifest.DefaultHostFile})
			return host.RequireRuntime, err
		},
	}, nil
}

func (a *application) manifestOptions() (manifest.Options, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return manifest.Options{}, fmt.Errorf("find home directory: %w", err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		return manifest.Options{}, fmt.Errorf("find working directory: %w", err)
	}
	return manifest.Options{
		Home: home, Cwd: cwd, HostFile: manifest.DefaultHostFile,
		CheckEgress: func(wish backend.Egress) error { _, err := egress.Rules(wish); return err },
		CheckCredentials: func(entries []backend.CredentialEntry) error {
			_, err := egress.ParseRoutes(entries)
			return err
		},
		RefuseVariable: provision.RefuseForeign,
	}, nil
}

// signalled returns a context that the usual signals end, with a cause that
// exitCode knows.
func signalled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			log.G(ctx).WithField("signal", s).Debug("ending")
			cancel(signalError{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-ended
	}
}

// interruptible does something that the usual signals end. What a signal has broken
// off is named by the signal; what was done before it came is done.
func (a *application) interruptible(command *cobra.Command, do func(context.Context) error) error {
	ctx, release := signalled(command.Context())
	defer release()
	if err := do(ctx); err != nil {
		return a.afterSignal(ctx, err)
	}
	return nil
}

// installation is where the program's other parts lie.
type installation struct{ executable, init, libexec string }

// findInstallation looks beside the program (a build tree) and in
// ../libexec/claude-bottle (an installation).
func findInstallation() (installation, error) {
	executable, err := os.Executable()
	if err != nil {
		return installation{}, fmt.Errorf("find this program: %w", err)
	}
	if executable, err = filepath.EvalSymlinks(executable); err != nil {
		return installation{}, fmt.Errorf("find this program: %w", err)
	}
	bin := filepath.Dir(executable)
	prefix := filepath.Dir(bin)
	installed := filepath.Join(prefix, "libexec", "claude-bottle")
	for _, found := range []installation{
		{executable, filepath.Join(bin, "bottle-init"), filepath.Join(prefix, "libexec")},
		{executable, filepath.Join(installed, "bottle-init"), installed},
	} {
		if info, err := os.Stat(found.init); err == nil && info.Mode().IsRegular() {
			return found, nil
		}
	}
	return installation{}, fmt.Errorf("find bottle-init: it is neither in %s nor in %s: install it there", bin, installed)
}
