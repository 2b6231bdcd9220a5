package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// What kept bottles may take unless flags say otherwise.
const (
	gcAge  = ageValue(30 * 24 * time.Hour)
	gcSize = "10Gi"
)

// gcOptions are the flags of gc.
type gcOptions struct {
	olderThan ageValue
	maxSize   string
	dryRun    bool
	yes       bool
	discard   bool
	output    *format
}

func (a *application) gcCommand() *cobra.Command {
	o := gcOptions{olderThan: gcAge, maxSize: gcSize}
	command := &cobra.Command{
		Use:   "gc",
		Short: "Remove kept bottles that are old or take too much of the disk",
		Long: `Show which kept bottles ended too long ago (--older-than), and which of the others,
oldest first, are too much for the disk that all together may take (--max-size); remove
just those, once you say yes.

Unsaved work is never part of that: it is named and stays. Only with --discard may it
go, too; the plan then names the work of each bottle that would be lost.`,
		Example: `  claude-bottle gc --dry-run
  claude-bottle gc --older-than 7d --max-size 2Gi
  claude-bottle gc --older-than 90d --discard`,
		Args: noArguments,
	}
	flags := command.Flags()
	flags.Var(&o.olderThan, "older-than", "age since its end that a kept bottle may reach, such as 30d or 12h")
	flags.StringVar(&o.maxSize, "max-size", gcSize, "`size` that all kept bottles together may have, such as 10Gi")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the plan and remove nothing")
	flags.BoolVarP(&o.yes, "yes", "y", false, "remove without asking")
	flags.BoolVar(&o.discard, "discard", false, "let unsaved work go, too")
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.collect(ctx, o) })
	}
	return command
}

func (a *application) collect(ctx context.Context, o gcOptions) error {
	most, err := manifest.ParseSize(o.maxSize)
	if err != nil {
		return usageError{fmt.Errorf("--max-size %q: give a size such as 512Mi or 10Gi", o.maxSize)}
	}
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	bottles, err := examinedKept(ctx, keeper)
	if err != nil {
		return err
	}
	plan := planCollection(bottles, time.Now().Add(-time.Duration(o.olderThan)), most, o.discard)
	done, err := o.output.structured(a.out, plan)
	if err == nil && !done {
		err = plan.print(a.out)
	}
	if err != nil || o.dryRun || len(plan.Remove) == 0 {
		return err
	}
	if !o.yes {
		if err := a.agreeToRemove(ctx, "remove these? [y/N] "); err != nil {
			return err
		}
	}
	return a.collectAll(ctx, keeper, plan)
}

// collectAll removes what the plan names. Work that has become unsaved since, or that
// the plan did not say it would lose, stays.
func (a *application) collectAll(ctx context.Context, keeper backend.Keeper, plan collection) error {
	var failed error
	for _, item := range plan.Remove {
		kept, err := keeper.Find(ctx, item.Name)
		if errdefs.IsNotFound(err) || err == nil && kept.Running {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		unsaved, err := removeKept(ctx, keeper, kept, item.Loses != "")
		if unsaved.Any() {
			err = fmt.Errorf("%s is not removed: it holds unsaved work by now", unsaved.Handle)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// collection is what gc would do.
type collection struct {
	Remove []collected `json:"remove"`
	Keep   []collected `json:"keep"`
	// Size is what all kept bottles take, Freed what would be freed of that.
	Size  int64 `json:"size"`
	Freed int64 `json:"freed"`
}

// collected is one kept bottle and what becomes of it.
type collected struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Why  string `json:"why"`
	// Loses says which unsaved work would be lost.
	Loses string `json:"loses,omitempty"`
}

// planCollection chooses what goes: all that ended before oldest, and then the oldest
// ones until no more than most bytes are left.
func planCollection(bottles []backend.Status, oldest time.Time, most int64, discard bool) collection {
	plan := collection{Remove: []collected{}, Keep: []collected{}}
	kept := slices.DeleteFunc(slices.Clone(bottles), func(status backend.Status) bool { return status.Phase != backend.PhaseKept })
	slices.SortStableFunc(kept, func(a, b backend.Status) int { return cmp.Compare(a.Created.UnixNano(), b.Created.UnixNano()) })
	for _, status := range kept {
		plan.Size += status.Size
	}
	for _, status := range kept {
		item := collected{Name: status.Name, Size: status.Size}
		switch {
		case status.Created.Before(oldest):
			item.Why = "it ended " + age(time.Since(status.Created)) + " ago"
		case plan.Size-plan.Freed > most:
			item.Why = fmt.Sprintf("all together take %s, more than %s", backend.Bytes(plan.Size-plan.Freed), backend.Bytes(most))
		default:
			continue
		}
		switch {
		case status.Unsaved == nil || status.Message != "":
			item.Why = "it can't be judged: " + cmp.Or(status.Message, "there was no time to look")
			plan.Keep = append(plan.Keep, item)
			continue
		case status.Unsaved.Any() && !discard:
			item.Why = "unsaved: " + status.Unsaved.Words()
			plan.Keep = append(plan.Keep, item)
			continue
		case status.Unsaved.Any():
			item.Loses = status.Unsaved.Words()
		}
		plan.Freed += status.Size
		plan.Remove = append(plan.Remove, item)
	}
	return plan
}

func (c collection) print(w io.Writer) error {
	var b strings.Builder
	if len(c.Remove) == 0 {
		fmt.Fprintf(&b, "Nothing to remove: kept bottles take %s.\n", backend.Bytes(c.Size))
	}
	for _, item := range c.Remove {
		fmt.Fprintf(&b, "remove %s (%s): %s\n", backend.Printable(item.Name), backend.Bytes(item.Size), backend.Printable(item.Why))
		if item.Loses != "" {
			fmt.Fprintf(&b, "  LOSES unsaved work: %s\n", item.Loses)
		}
	}
	for _, item := range c.Keep {
		fmt.Fprintf(&b, "keep %s (%s): %s\n", backend.Printable(item.Name), backend.Bytes(item.Size), backend.Printable(item.Why))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
