package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// What a copy may be, unless its flags say otherwise.
const (
	defaultCopyBytes   = 4 << 30
	defaultCopyEntries = 1_000_000
	defaultCopyStall   = time.Minute
)

func (a *application) copyCommand() *cobra.Command {
	options := work.CopyOptions{Bytes: defaultCopyBytes}
	command := &cobra.Command{
		Use:   "cp NAME:PATH DESTINATION | cp SOURCE NAME:PATH",
		Short: "Copy files out of a bottle, or into one",
		Long: `Copy files or directories between a bottle and the host, all of them or none. A path
in the bottle is absolute, or below /workspace. NAME is a running bottle, or NAME@SUFFIX
what is kept of one: then its workspace and its home directory can be reached.

A destination that is a directory gets the copy below its name, else the copy becomes
it; SOURCE/. is what a directory holds. Directories are merged, files of the same name
replaced, and links at the destination are replaced, not followed. - is a tar stream on
standard input, for a directory in the bottle, or on standard output.

Regular files, directories and symbolic links that stay inside what is copied come home,
owned as the directory that they come into. All else is left out and named: devices,
FIFOs, sockets, setuid bits, and repositories (.git, and each file HEAD, by which git
takes a directory for one), whose hooks and settings would run by your git. What comes home is still the agent's: look before you run any of it.`,
		Example: `  claude-bottle cp claude:report.md .
  claude-bottle cp claude:/workspace/dist/. ./dist
  claude-bottle cp claude@k3x9q:/workspace/src ./src-of-yesterday
  claude-bottle cp ./data claude:/workspace/
  claude-bottle cp claude:/home/claude/notes - | tar -tv
  tar -c fixtures | claude-bottle cp - claude:/workspace`,
		Args:              arguments("cp", "SOURCE", "DESTINATION"),
		ValidArgsFunction: a.completeCopy,
		RunE: func(command *cobra.Command, args []string) error {
			source, destination, err := copyEnds(args[0], args[1])
			if err != nil {
				return err
			}
			if options.Entries <= 0 || options.Stall <= 0 {
				return usageError{errors.New("--max-entries and --stall take more than nothing")}
			}
			return a.interruptible(command, func(ctx context.Context) error { return a.copy(ctx, source, destination, options) })
		},
	}
	flags := command.Flags()
	flags.Var((*sizeValue)(&options.Bytes), "max-size", "most that the files may hold together")
	flags.IntVar(&options.Entries, "max-entries", defaultCopyEntries, "most `files` and directories")
	flags.DurationVar(&options.Stall, "stall", defaultCopyStall, "give up when the bottle has done nothing for so long")
	flags.BoolVar(&options.Git, "include-git", false, "let repositories (.git) come home, with all that your git would run of them")
	return command
}

// copy carries files from one end to the other.
func (a *application) copy(ctx context.Context, source, destination copyPath, options work.CopyOptions) (err error) {
	progress := newProgress(a.err, a.quiet, time.Now())
	defer progress.finish()
	title := "copy " + source.String()
	options.Done = func(bytes int64) { progress.Bytes(title, bytes, 0) }
	inside := source
	if source.bottle == "" {
		inside = destination
	}
	bottle, err := a.openCopied(ctx, inside.bottle, options)
	if err != nil {
		return err
	}
	defer bottle.close()
	var summary archive.Summary
	if source.bottle != "" {
		summary, err = a.copyHome(ctx, bottle, source, destination, options)
	} else {
		summary, err = a.copyIn(ctx, bottle, source, destination, options)
	}
	progress.finish()
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", backend.Printable(source.String()), backend.Printable(destination.String()), err)
	}
	a.printSkipped(source, summary)
	files := "files and directories"
	if summary.Files == 1 {
		files = "file or directory"
	}
	a.say("copied %d %s, %s", summary.Files, files, backend.Bytes(summary.Bytes))
	return nil
}

func (a *application) copyHome(ctx context.Context, bottle copied, source, destination copyPath, options work.CopyOptions) (archive.Summary, error) {
	name, err := source.name()
	if err != nil {
		return archive.Summary{}, err
	}
	pack := bottle.packer(source.given())
	if !destination.stream {
		return work.CopyHome(ctx, pack, archive.Delivery{Files: archive.OwnFiles{}, To: destination.given(), Name: name}, options)
	}
	if term.IsTerminal(int(a.out.Fd())) {
		return archive.Summary{}, usageError{errors.New("a tar stream is nothing for a terminal: send it to a file or a program")}
	}
	return work.CopyOut(ctx, pack, a.out, name, options)
}

// streamName is the directory that the entries of a stream from outside get.
const streamName = "stream"

func (a *application) copyIn(ctx context.Context, bottle copied, source, destination copyPath, options work.CopyOptions) (archive.Summary, error) {
	if source.stream {
		if term.IsTerminal(int(a.in.Fd())) {
			return archive.Summary{}, usageError{errors.New("- takes a tar stream from a file or a program, not from a terminal")}
		}
		return work.CopyIn(ctx, work.FromStream(a.in), streamName, bottle.unpacker(destination.given(), ""), options)
	}
	name, err := source.name()
	if err != nil {
		return archive.Summary{}, err
	}
	from, err := filepath.Abs(source.path)
	if err != nil {
		return archive.Summary{}, fmt.Errorf("find %s: %w", source.path, err)
	}
	if source.slash && from != "/" {
		from += "/"
	}
	return work.CopyIn(ctx, work.FromFiles(archive.OwnFiles{}, from), "", bottle.unpacker(destination.given(), name), options)
}

// shownSkipped bounds the lines about what was left out.
const shownSkipped = 20

// printSkipped names what was left out.
func (a *application) printSkipped(source copyPath, summary archive.Summary) {
	for _, skipped := range summary.Skipped[:min(shownSkipped, len(summary.Skipped))] {
		name := skipped.Path
		if !source.stream { // what is copied has a name of its own in the stream
			_, below, _ := strings.Cut(name, "/")
			name = path.Join(source.path, below)
		}
		_, _ = fmt.Fprintf(a.err, "left out: %s (%s)\n", backend.Printable(name), skipped.Kind)
	}
	if more := summary.SkippedCount - shownSkipped; more > 0 {
		_, _ = fmt.Fprintf(a.err, "left out: %d more\n", more)
	}
}

// sizeValue is a flag that takes 512Mi or 4G.
type sizeValue int64

// String implements pflag.Value.
func (s *sizeValue) String() string { return backend.Bytes(int64(*s)) }

// Type implements pflag.Value.
func (*sizeValue) Type() string { return "size" }

// Set implements pflag.Value.
func (s *sizeValue) Set(text string) error {
	bytes, err := manifest.ParseSize(text)
	if err != nil || bytes <= 0 {
		return fmt.Errorf("%q is no size: give one such as 512Mi or 4Gi", text)
	}
	*s = sizeValue(bytes)
	return nil
}
