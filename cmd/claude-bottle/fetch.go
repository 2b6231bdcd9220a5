package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// fetchFlags are those of fetch and merge.
type fetchFlags struct {
	into    string
	maxSize int64
}

func (f *fetchFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.into, "into", "", "`repository` to fetch into (default: the one that the bottle was started from, else this directory's)")
	f.maxSize = fetch.DefaultMaxSize
	command.Flags().Var((*sizeValue)(&f.maxSize), "max-size", "most that the bottle may send")
}

func (a *application) fetchCommand() *cobra.Command {
	flags := &fetchFlags{}
	command := &cobra.Command{
		Use:   "fetch NAME",
		Short: "Bring the commits of a bottle home, and what it did not commit",
		Long: `Bring the branches, tags and stashes of a bottle's repository into yours, as
refs/bottle/NAME/..., and what was not committed as a commit of its own,
refs/bottle/NAME/uncommitted. Objects and refs come, nothing else: your branches, index,
files, hooks and configuration stay as they are.

NAME is a bottle that runs, or one that is kept: then a helper bottle without any host
to reach looks at its work. Git-ignored files stay in the bottle and are named. Refs that
the bottle has no more stay in your repository.`,
		Example: `  claude-bottle fetch claude
  claude-bottle fetch claude@x7k2p --into ~/src/project
  claude-bottle fetch claude -o json
  git log --oneline main..refs/bottle/claude/heads/main    # what came`,
		Args:              arguments("fetch", "NAME"),
		ValidArgsFunction: a.completeBottles,
	}
	flags.add(command)
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		var fetched *fetch.Fetched
		err := a.interruptible(command, func(ctx context.Context) (err error) {
			fetched, err = a.fetch(ctx, args[0], flags)
			return err
		})
		if err != nil {
			return err
		}
		if done, err := output.structured(a.out, fetched); done || err != nil {
			return err
		}
		printFetched(a.out, fetched)
		a.hint(fetched)
		return nil
	}
	return command
}

func (a *application) mergeCommand() *cobra.Command {
	flags := &fetchFlags{}
	command := &cobra.Command{
		Use:   "merge NAME [BRANCH]",
		Short: "Fetch, and print the git command that merges",
		Long: `Fetch the work of a bottle, and print the git command that merges one of its branches
into the branch that you are on: BRANCH, else the one that is checked out in the bottle. It is
yours to run: claude-bottle never changes your branches or files by git. The command alone
goes to standard output.`,
		Example: `  claude-bottle merge claude
  claude-bottle merge claude feature
  $(claude-bottle merge claude --quiet)       # and merge at once`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return usageError{fmt.Errorf("merge takes 1 or 2 arguments (NAME BRANCH), got %d", len(args))}
		},
		ValidArgsFunction: a.completeBottles,
	}
	flags.add(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		var fetched *fetch.Fetched
		err := a.interruptible(command, func(ctx context.Context) (err error) {
			fetched, err = a.fetch(ctx, args[0], flags)
			return err
		})
		if err != nil {
			return err
		}
		if !a.quiet {
			printFetched(a.err, fetched)
		}
		from, err := mergeFrom(fetched, strings.Join(args[1:], ""))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, gitCommand(fetched.Repository, "merge", from))
		return err
	}
	return command
}

// fetch finds the bottle and brings its work home.
func (a *application) fetch(ctx context.Context, name string, flags *fetchFlags) (*fetch.Fetched, error) {
	progress := newProgress(a.err, a.quiet, time.Now())
	defer progress.finish()
	keeper, err := a.openKeeper(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer func() { _ = keeper.Close() }()
	found, err := keeper.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	into := flags.into
	if into == "" {
		cwd, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("find working directory: %w", err)
		}
		into = fetch.Into(found, cwd)
	}
	if into, err = filepath.Abs(into); err != nil {
		return nil, fmt.Errorf("find %s: %w", flags.into, err)
	}
	return fetch.Fetch(ctx, keeper, found, fetch.Options{Into: into, MaxSize: flags.maxSize, Progress: progress})
}

// printFetched lists what came, as git fetch does.
func printFetched(w io.Writer, fetched *fetch.Fetched) {
	_, _ = fmt.Fprintf(w, "From bottle %s into %s\n", fetched.Handle, backend.Printable(fetched.Repository))
	line := func(flag, what, from, to, note string) {
		_, _ = fmt.Fprintln(w, backend.Printable(strings.TrimRight(fmt.Sprintf(" %s %-17s %-12s -> %s%s", flag, what, from, to, note), " ")))
	}
	for _, ref := range fetched.Refs {
		from := strings.TrimPrefix(strings.TrimPrefix(ref.Name, "heads/"), "tags/")
		switch ref.How {
		case fetch.RefNew:
			what := "[new branch]"
			switch {
			case strings.HasPrefix(ref.Name, "tags/"):
				what = "[new tag]"
			case !strings.HasPrefix(ref.Name, "heads/"):
				what = "[new ref]"
			}
			line("*", what, from, ref.Ref, "")
		case fetch.RefForth:
			line(" ", ref.Old[:8]+".."+ref.New[:8], from, ref.Ref, "")
		case fetch.RefForced:
			line("+", ref.Old[:7]+"..."+ref.New[:7], from, ref.Ref, " (forced update)")
		default:
			line("=", "[up to date]", from, ref.Ref, "")
		}
	}
	for _, name := range fetched.Stale {
		line("-", "[gone inside]", "", name, " (stays here)")
	}
	for _, ref := range fetched.Skipped {
		line("!", "[not fetched]", ref.Name, "("+ref.Reason+")", "")
	}
	for _, path := range fetched.Nested {
		line("!", "[commit id only]", path, "(a repository of its own: what is in it did not come)", "")
	}
	if fetched.Left == 0 {
		return
	}
	_, _ = fmt.Fprintf(w, "%s did not come: ignored, converted, or nothing that git keeps:\n", count(fetched.Left, "file"))
	const most = 10
	for _, path := range fetched.LeftPaths[:min(most, len(fetched.LeftPaths))] {
		_, _ = fmt.Fprintf(w, "   %s\n", backend.Printable(path))
	}
	if fetched.Left > most {
		_, _ = fmt.Fprintf(w, "   and %d more\n", fetched.Left-most)
	}
}

// hint says what can be done next.
func (a *application) hint(fetched *fetch.Fetched) {
	if fetched.Left > 0 {
		a.say("claude-bottle cp %s:/workspace/PATH . takes such files", fetched.Handle)
	}
	for _, ref := range fetched.Refs {
		if ref.Name == "uncommitted" {
			a.say("what was not committed: %s", gitCommand(fetched.Repository, "show", ref.Ref))
		}
	}
	if from, err := mergeFrom(fetched, ""); err == nil {
		a.say("to merge it: %s", gitCommand(fetched.Repository, "merge", from))
	}
}

// mergeFrom is what is to be merged: the branch that was asked for, else the one
// that is checked out in the bottle, else the commit that is.
func mergeFrom(fetched *fetch.Fetched, asked string) (string, error) {
	wanted := fetched.Branch
	switch {
	case asked != "":
		wanted = "refs/bottle/" + fetched.Name + "/heads/" + asked
	case wanted == "":
		wanted = "refs/bottle/" + fetched.Name + "/HEAD"
	}
	for _, ref := range fetched.Refs {
		switch {
		case ref.Ref != wanted:
		case plainWord().MatchString(ref.Ref):
			return ref.Ref, nil
		default:
			return ref.New, nil
		}
	}
	if asked != "" {
		return "", fmt.Errorf("bottle %s has no branch %s: %w", fetched.Handle, backend.Printable(asked), errdefs.ErrNotFound)
	}
	return "", fmt.Errorf("nothing is committed in bottle %s: %w", fetched.Handle, errdefs.ErrNotFound)
}

// plainWord is what a shell takes as it is.
var plainWord = pattern.Lazy(`^[A-Za-z0-9_./@+=:,-]+$`)

// gitCommand is a command line that a user can copy.
func gitCommand(repository string, words ...string) string {
	place := repository
	if !plainWord().MatchString(place) {
		place = "'" + strings.ReplaceAll(place, "'", `'\''`) + "'"
	}
	return "git -C " + place + " " + strings.Join(words, " ")
}
