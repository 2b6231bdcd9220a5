package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) imageRemoveCommand() *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:     "rm IMAGE...",
		Aliases: []string{"remove"},
		Short:   "Remove images",
		Long: `Take names of images away; with its last name an image goes, and what it took of the disk
is free at once, but for layers that others share.

What a bottle or kept work uses is left alone, with exit code 3, unless --force takes its
name away all the same: a bottle that runs goes on, and work that is kept can't go on or be
looked at by git before the image is pulled or imported again.`,
		Example:           "  claude-bottle image rm claude:1\n  claude-bottle image rm claude:1 claude:2 --force",
		Args:              someImages(math.MaxInt),
		Annotations:       map[string]string{annotationTakes: "names of images"},
		ValidArgsFunction: a.completeImages(math.MaxInt),
	}
	command.Flags().BoolVarP(&force, "force", "f", false, "take the name away from an image that is in use, too")
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.removeImages(ctx, args, force, output) })
	}
	return command
}

// removeImages tries every one. The exit code is that of the first that failed.
func (a *application) removeImages(ctx context.Context, names []string, force bool, output *format) error {
	opened, err := a.openImages(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	removals := []backend.ImageRemoval{}
	var failed []error
	for _, name := range names {
		removal, err := opened.RemoveImage(ctx, backend.ImageRemove{Reference: name, Force: force})
		if err != nil {
			failed = append(failed, err)
			continue
		}
		removals = append(removals, removal)
		if output.value == "text" {
			_, _ = fmt.Fprintln(a.out, removalWords(removal))
		}
	}
	if _, err := output.structured(a.out, removals); err != nil {
		failed = append(failed, err)
	}
	return firstCode(failed)
}

func removalWords(removal backend.ImageRemoval) string {
	words := "removed " + backend.PlanImage{Reference: removal.Name, Digest: removal.Digest}.Pinned()
	switch {
	case len(removal.Others) > 0:
		words = "untagged " + removal.Name + ": it stays as " + strings.Join(removal.Others, ", ")
	case len(removal.Users) > 0:
		words += fmt.Sprintf(", which %s still needs: %s freed", userWords(removal.Users, true), backend.Bytes(removal.Freed))
	default:
		words += fmt.Sprintf(": %s freed", backend.Bytes(removal.Freed))
	}
	return words
}

// pruneOptions are the flags of image prune.
type pruneOptions struct {
	all, dryRun, yes bool

	output *format
}

func (a *application) imagePruneCommand() *cobra.Command {
	var o pruneOptions
	command := &cobra.Command{
		Use:   "prune",
		Short: "Remove images that nothing uses",
		Long: `Show which images nothing uses: no bottle, no kept work, no other container of the
namespace, and no bottle file of yours, and what pulls and imports have left that were cut;
remove just that, once you say yes. The default image counts as used, and so do the steps
of builds, which go by themselves when no build has needed them for 14 days.

--all takes those, too, that only bottle files name, the default one, and steps of builds.`,
		Example: `  claude-bottle image prune --dry-run
  claude-bottle image prune --all --yes`,
		Args: noArguments,
	}
	flags := command.Flags()
	flags.BoolVarP(&o.all, "all", "a", false, "remove what only bottle files and builds need, too")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the plan and remove nothing")
	flags.BoolVarP(&o.yes, "yes", "y", false, "remove without asking")
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return a.interruptible(command, func(ctx context.Context) error { return a.pruneImages(ctx, o) })
	}
	return command
}

// imagePruning is what prune would do.
type imagePruning struct {
	Remove    []backend.Image   `json:"remove"`
	Keep      []backend.Image   `json:"keep"`
	Transfers backend.Transfers `json:"transfers"`
}

func (p imagePruning) empty() bool { return len(p.Remove) == 0 && p.Transfers.Count == 0 }

func (a *application) pruneImages(ctx context.Context, o pruneOptions) error {
	opened, err := a.openImages(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	plan, err := a.planPruning(ctx, opened, o.all)
	if err != nil {
		return err
	}
	done, err := o.output.structured(a.out, plan)
	if err == nil && !done {
		err = plan.print(a.out)
	}
	if err != nil || o.dryRun || plan.empty() {
		return err
	}
	if !o.yes {
		if err := a.agreeToRemove(ctx, "remove these? [y/N] "); err != nil {
			return err
		}
	}
	return a.prune(ctx, opened, plan, o.output.value == "text")
}

// prune removes what the plan names. What has come into use since stays.
func (a *application) prune(ctx context.Context, opened openedImages, plan imagePruning, tell bool) error {
	dropped, err := opened.DropTransfers(ctx)
	var failed []error
	if err != nil {
		failed = append(failed, err)
	}
	freed := dropped.Bytes
	for _, image := range plan.Remove {
		removal, err := opened.RemoveImage(ctx, backend.ImageRemove{Reference: image.Name, Digest: image.Digest})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		freed += removal.Freed
	}
	if tell {
		_, _ = fmt.Fprintf(a.out, "%s freed\n", backend.Bytes(freed))
	}
	return firstCode(failed)
}

// planPruning chooses what goes. A bottle file that can't be read may name any image:
// then those that files alone name can't be told.
func (a *application) planPruning(ctx context.Context, opened openedImages, all bool) (imagePruning, error) {
	list, err := opened.Images(ctx)
	if err != nil {
		return imagePruning{}, err
	}
	plan := imagePruning{Remove: []backend.Image{}, Keep: []backend.Image{}}
	if !all {
		if err := a.addFiles(list); err != nil {
			return imagePruning{}, fmt.Errorf("which images bottle files name can't be told: mend them, or add --all: %w", err)
		}
	}
	for _, image := range list {
		if len(image.Users) > 0 {
			plan.Keep = append(plan.Keep, image)
			continue
		}
		plan.Remove = append(plan.Remove, image)
	}
	plan.Transfers, err = opened.Transfers(ctx)
	return plan, err
}

// addFiles adds the user's bottle files to those who use the images.
func (a *application) addFiles(list []backend.Image) error {
	options, err := a.manifestOptions()
	if err != nil {
		return err
	}
	named, err := manifest.Images(options)
	if err != nil {
		return err
	}
	for i, image := range list {
		if image.Step {
			list[i].Users = append(list[i].Users, backend.ImageUser{Use: backend.UseBuild, Name: "cache"})
		}
		if containerd.NamesImage(containerd.DefaultImage, image) {
			list[i].Users = append(list[i].Users, backend.ImageUser{Use: backend.UseDefault, Name: "image"})
		}
		for _, file := range named {
			if file.Image != "" && containerd.NamesImage(file.Image, image) {
				list[i].Users = append(list[i].Users, backend.ImageUser{Use: backend.UseFile, Name: file.Bottle})
			}
		}
	}
	return nil
}

func (p imagePruning) print(w io.Writer) error {
	var b strings.Builder
	if p.empty() {
		fmt.Fprintln(&b, "Nothing to remove.")
	}
	for _, image := range p.Remove {
		fmt.Fprintf(&b, "remove %s (%s)\n", backend.Printable(image.Pinned()), backend.Bytes(image.Size))
	}
	if p.Transfers.Count > 0 {
		fmt.Fprintf(&b, "remove what %d pulls or imports have left that were cut (%s)\n", p.Transfers.Count, backend.Bytes(p.Transfers.Bytes))
	}
	for _, image := range p.Keep {
		words := slices.Collect(func(yield func(string) bool) {
			for _, user := range image.Users {
				if !yield(fmt.Sprintf("%s %s", user.Use, backend.Printable(user.Name))) {
					return
				}
			}
		})
		fmt.Fprintf(&b, "keep %s: %s\n", backend.Printable(image.Pinned()), strings.Join(words, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
