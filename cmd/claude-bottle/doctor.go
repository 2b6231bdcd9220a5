package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/doctor"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/spf13/cobra"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	fix, yes, quick bool
	image           string
	output          *format
}

func (a *application) doctorCommand() *cobra.Command {
	var o doctorOptions
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything that bottles stand on, and say what to do about it",
		Long: `Look at everything that bottles stand on, from the kernel to a claude that answers, and
say of each thing whether it is ok, a warning, missing, or unknown because it can't be
looked at, and what to do about it.

A sandbox is started on each runtime, and in a bottle on each a real claude, which says
its version and asks a fake of the API on this host a question. That reads none of your
files and variables and costs nothing. --quick leaves both out.

--fix first does what does no harm: it makes the state directories, and closes them to
others, loads the module overlay, forgets what was found out about runtimes that are no
more, removes what dead bottles left (after a yes, as cleanup), and starts a controller
where detached bottles have none. All else is said as a remedy.

No part of the output is a secret: attach it to a report of a bug. The exit code is 1
when something is missing.`,
		Example: `  claude-bottle doctor
  claude-bottle doctor --quick
  claude-bottle doctor -o json > doctor.json
  claude-bottle doctor --fix --yes
  claude-bottle doctor --image registry.example.org/team/claude:1`,
		Args: noArguments,
	}
	o.output = addFormat(command, "text", "json", "yaml")
	flags := command.Flags()
	flags.BoolVar(&o.quick, "quick", false, "start no sandbox and no claude")
	flags.BoolVar(&o.fix, "fix", false, "first do what does no harm")
	flags.BoolVarP(&o.yes, "yes", "y", false, "with --fix: remove what dead bottles left without asking")
	flags.StringVar(&o.image, "image", "", "image `reference` that claude is tried in (default: the default image)")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if o.yes && !o.fix {
			return usageError{errors.New("--yes answers what --fix asks: add --fix")}
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.doctor(ctx, o) })
	}
	return command
}

func (a *application) doctor(ctx context.Context, o doctorOptions) error {
	options, err := a.doctorWishes(ctx, o)
	if err != nil {
		return err
	}
	var mended []string
	if o.fix {
		mended = a.mend(ctx, options, o.yes)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.output.value == "text" {
		paper := checkPaper{out: a.out, colours: a.colours(a.out)}
		passing := passingLine{out: a.err, shown: !a.quiet && terminal.Is(a.err)}
		options.Looking = passing.show
		options.Told = func(checks []doctor.Check) {
			passing.clear()
			err = errors.Join(err, paper.print(checks))
		}
		defer passing.clear()
	}
	report := doctor.Examine(ctx, options)
	report.Mended = mended
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if _, err := o.output.structured(a.out, report); err != nil {
		return err
	}
	return a.verdict(report)
}

// passingLine is a line on a terminal that something else takes the place of.
type passingLine struct {
	out   io.Writer
	shown bool // nothing of it is, elsewhere
}

func (l passingLine) show(what string) {
	if l.shown {
		_, _ = fmt.Fprintf(l.out, "\r\x1b[K%s ...", what)
	}
}

func (l passingLine) clear() {
	if l.shown {
		_, _ = io.WriteString(l.out, "\r\x1b[K")
	}
}

// mend does what does no harm, and says what that was.
func (a *application) mend(ctx context.Context, options doctor.Options, yes bool) []string {
	asked := doctor.Asked{
		Agree: func(ctx context.Context, plan *backend.CleanupPlan) (bool, error) {
			return a.agreeToCleanup(ctx, plan, yes)
		},
	}
	if !a.noController {
		asked.StartController = func(opened backend.Leader) (string, error) {
			pid, err := a.startController(ctx, opened.ControllerFile("log"))
			return fmt.Sprintf("started a controller (process %d)", pid), err
		}
	}
	mended := doctor.Mend(ctx, options, asked)
	for _, line := range mended {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s\n", printableLines(line))
	}
	if len(mended) == 0 && !a.quiet {
		_, _ = fmt.Fprintln(a.err, "claude-bottle: there is nothing that --fix could do")
	}
	return mended
}

// verdict says in one line how it is, and gives the exit code.
func (a *application) verdict(report doctor.Report) error {
	missing, warnings, unknown := report.Count(doctor.Missing), report.Count(doctor.Warning), report.Count(doctor.Unknown)
	if !a.quiet {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %d ok, %s, %d missing, %d unknown\n", report.Count(doctor.OK), count(warnings, "warning"), missing, unknown)
	}
	if missing > 0 {
		return &exitError{code: exitError1}
	}
	return nil
}

// doctorWishes say what is looked at. Nothing that is wrong here keeps the rest from
// being looked at, but a wrong command line.
func (a *application) doctorWishes(ctx context.Context, o doctorOptions) (doctor.Options, error) {
	backendName, _ := a.lookup("CLAUDE_BOTTLE_BACKEND")
	if _, err := backend.Choose(backendName, map[string]backend.Factory{backend.DefaultBackend: nil}); err != nil {
		return doctor.Options{}, err
	}
	parts, err := findInstallation()
	if err != nil {
		return doctor.Options{}, err
	}
	manifests, filesProblem := a.manifestOptions()
	manifests.HostFile = manifest.DefaultHostFile
	address, problem := a.findDaemon(ctx, parts) // the engine is started, as by start
	shim, _ := a.lookup("CLAUDE_BOTTLE_SHIM")
	options := doctor.Options{
		Containerd: containerd.Options{
			Address: address, Namespace: a.namespace, Root: a.root, RunRoot: a.runRoot,
			Init: parts.init, Executable: parts.executable, Libexec: parts.libexec, Shim: shim,
		},
		AddressProblem: problem, Manifests: manifests, ManifestsProblem: filesProblem, Lookup: a.lookup, Terminal: a.seenTerminal(),
		Version: version, Built: built(parts.executable), Image: o.image, Quick: o.quick,
	}
	return options, nil
}

func (a *application) seenTerminal() doctor.Terminal {
	seen := doctor.Terminal{Is: terminal.Is(a.in) && terminal.Is(a.err), Name: a.environment("TERM", "")}
	for _, name := range []string{"LANG", "LC_CTYPE", "LC_ALL"} {
		seen.Locale = a.environment(name, seen.Locale)
	}
	return seen
}

// built is when this program was made, by its commit, or else by its file.
func built(executable string) time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if at, err := time.Parse(time.RFC3339, setting.Value); setting.Key == "vcs.time" && err == nil {
				return at
			}
		}
	}
	if info, err := os.Stat(executable); err == nil {
		return info.ModTime()
	}
	return time.Time{}
}

// agreeToCleanup shows what would be removed and asks, unless that is answered already.
func (a *application) agreeToCleanup(ctx context.Context, plan *backend.CleanupPlan, yes bool) (bool, error) {
	if err := plan.Print(a.err); err != nil || yes {
		return yes, err
	}
	tty, err := terminal.Open(a.in, a.err)
	if err != nil {
		return false, fmt.Errorf("open terminal: %w", err)
	}
	return tty.Confirm(ctx, a.err, "remove this? [y/N] ")
}

// colours says that what is written there may be painted.
func (a *application) colours(out *os.File) bool {
	_, plain := a.lookup("NO_COLOR")
	return !plain && terminal.Is(out)
}

// checkPaper prints checks as they come, each with its remedy below it.
type checkPaper struct {
	out     io.Writer
	colours bool
	begun   bool
}

func (p *checkPaper) print(checks []doctor.Check) error {
	var b strings.Builder
	row := func(status, colour, title, text string) {
		if cell := fmt.Sprintf("%-7s", status); p.colours && colour != "" {
			fmt.Fprintf(&b, "%s%s\x1b[m", colour, cell)
		} else {
			b.WriteString(cell)
		}
		fmt.Fprintf(&b, "   %-22s   %s\n", title, text)
	}
	if !p.begun {
		p.begun = true
		row("STATUS", "", "THING", "FOUND")
	}
	for _, check := range checks {
		row(string(check.Status), colourOf(check.Status), check.Title, printableLines(check.Found))
		if check.Remedy != "" {
			row("", "", "", "-> "+printableLines(check.Remedy))
		}
	}
	_, err := io.WriteString(p.out, b.String())
	return err
}

func colourOf(status doctor.Status) string {
	switch status {
	case doctor.OK:
		return "\x1b[32m"
	case doctor.Missing:
		return "\x1b[31m"
	default:
		return "\x1b[33m"
	}
}
