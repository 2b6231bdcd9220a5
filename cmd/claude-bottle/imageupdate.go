package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/image/npm"
	"github.com/claude-bottle/claude-bottle/image/proven"
	"github.com/claude-bottle/claude-bottle/image/recipe"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"
)

// updateOptions are the flags of image update.
type updateOptions struct {
	build      buildOptions
	check, yes bool
}

func (a *application) imageUpdateCommand() *cobra.Command {
	o := updateOptions{build: buildOptions{disk: buildDisk, timeout: buildTimeout}}
	command := &cobra.Command{
		Use:   "update [BOTTLE | IMAGE]",
		Short: "Rebuild an image with the newest claude",
		Long: `Ask npm's registry for the newest claude, and rebuild an image that a recipe makes with
it, once you say yes: the default image, or that of a bottle. The version and its
integrity are pinned: for a bottle in its file, where the recipe is; the default image has
them until ` + "`claude-bottle image build`" + ` builds it again by the recipe that ships.

Bottles that run keep the image that they have. The old image stays, called by its digest,
until ` + "`claude-bottle image prune`" + ` finds that nothing uses it.

--check builds nothing. Its exit code is 0 when there is none newer, 5 when there is one.`,
		Example: `  claude-bottle image update
  claude-bottle image update web --yes      # the recipe in ~/.claude-bottle/bottles/web.md
  claude-bottle image update --check || claude-bottle image update --yes`,
		ValidArgsFunction: a.completeFiles(manifest.KindBottle),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("image update takes one bottle or image, got %d", len(args))}
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.check, "check", false, "say whether there is a newer claude, and build nothing")
	flags.BoolVarP(&o.yes, "yes", "y", false, "build without asking")
	flags.StringVar(&o.build.registry, "npm-registry", npm.DefaultRegistry, "`URL` that npm packages are got from")
	flags.StringVar(&o.build.mirror, "debian-mirror", "", "`URL` that Debian's packages are got from, as of image build")
	o.build.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) > 0 {
			o.build.bottle = bottleOfImage(args[0])
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.updateImage(ctx, o) })
	}
	return command
}

// bottleOfImage is the bottle whose recipe makes the image of that name; "" is the default
// one.
func bottleOfImage(text string) string {
	if containerd.NamesImage(text, backend.Image{Name: containerd.DefaultImage}) {
		return ""
	}
	prefix, suffix, _ := strings.Cut(backend.BuiltImage("\x00"), "\x00")
	if name, ok := strings.CutPrefix(text, prefix); ok {
		return strings.TrimSuffix(name, suffix)
	}
	return text
}

// imageUpdate is what an update would do.
type imageUpdate struct {
	Image string `json:"image"`
	// Has is the claude of the image, or of the recipe while there is no image.
	Has    string `json:"claude"`
	Newest string `json:"newest"`
	Newer  bool   `json:"newer"`
	// Known is what the table that ships says of the newest one.
	Known string `json:"known"`

	made      backend.Recipe
	old, next backend.RecipePackage
}

func (a *application) updateImage(ctx context.Context, o updateOptions) error {
	progress := newProgress(a.err, a.quiet, time.Now())
	defer progress.finish()
	opened, err := a.openImages(ctx, progress)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	update, err := a.findUpdate(ctx, opened, o.build)
	if err != nil {
		return err
	}
	if o.check {
		return a.tellUpdate(update, o.build.output)
	}
	if !a.quiet {
		_, _ = fmt.Fprintln(a.err, update.words())
	}
	if !update.Newer {
		return nil
	}
	builder, ok := opened.(backend.Builder)
	if !ok {
		return errNoBuilder
	}
	return a.doUpdate(ctx, builder, update, o, progress)
}

// findUpdate asks the registry, and looks at what is here.
func (a *application) findUpdate(ctx context.Context, opened openedImages, o buildOptions) (update imageUpdate, err error) {
	var spec backend.BuildSpec
	found, err := a.findRecipe(o, &spec)
	if err != nil {
		return update, err
	}
	update.Image = spec.Name
	name, version, err := recipe.Claude(found)
	if err != nil {
		return update, fmt.Errorf("the recipe of %s has no %s under npm, so that its claude comes by other ways: change the recipe: %w", spec.Name, recipe.ClaudePackage, err)
	}
	update.Has = version
	detail, err := opened.InspectImage(ctx, spec.Name)
	if err == nil && o.bottle == "" {
		update.Has = cmp.Or(detail.Claude, version)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return update, err
	}
	registry := npm.Registry{URL: o.registry, Progress: backend.NoProgress{}}
	newest, err := registry.Find(ctx, recipe.ClaudePackage, "latest")
	if err != nil {
		return update, err
	}
	update.Newest = newest.Version
	update.Newer = semver.Compare("v"+update.Newest, "v"+update.Has) > 0
	table, err := proven.Table(goruntime.GOARCH)
	if err != nil {
		return update, err
	}
	update.Known = proven.Known(table, update.Newest)
	release, err := registry.Find(ctx, name, update.Newest)
	if err != nil {
		return update, err
	}
	update.made, update.old, update.next = recipe.WithClaude(found, release.Version, release.Dist.Integrity)
	return update, recipe.Check(update.made)
}

// words say it in a line or two.
func (u imageUpdate) words() string {
	if !u.Newer {
		return fmt.Sprintf("image %s: claude %s, and none is newer", u.Image, backend.Printable(u.Has))
	}
	return fmt.Sprintf("image %s: claude %s -> %s\n%s", u.Image, backend.Printable(u.Has), backend.Printable(u.Newest), backend.Printable(u.Known))
}

func (a *application) tellUpdate(update imageUpdate, output *format) error {
	done, err := output.structured(a.out, update)
	if err == nil && !done {
		_, err = fmt.Fprintln(a.out, update.words())
	}
	if err == nil && update.Newer {
		return &exitError{code: exitNewer}
	}
	return err
}

// doUpdate builds, and then changes the pin: a build that fails changes nothing.
func (a *application) doUpdate(ctx context.Context, builder backend.Builder, update imageUpdate, o updateOptions, progress *progress) error {
	o.build.made = &update.made
	file := ""
	if o.build.bottle != "" {
		file = filepath.Join(update.made.Directory, o.build.bottle+".md")
		if err := manifest.CheckPin(file, update.old); err != nil {
			return err
		}
	}
	wish, err := a.buildSpec(ctx, o.build, progress)
	if err != nil {
		return err
	}
	wish.KeepOld = true
	plan, err := builder.PlanBuild(ctx, wish)
	if err != nil {
		return err
	}
	if !a.quiet || !o.yes {
		if err := plan.Print(a.err); err != nil {
			return err
		}
		if file != "" {
			_, _ = fmt.Fprintf(a.err, "  %-8s %s\n", "changes", backend.Printable(file))
		}
	}
	if !o.yes {
		if err := a.agreeToUpdate(ctx); err != nil {
			return err
		}
	}
	result, err := a.runBuild(ctx, builder, plan, progress)
	if err == nil && file != "" {
		err = manifest.SavePin(file, update.old, update.next)
	}
	if err != nil {
		return err
	}
	return a.printBuilt(result, o.build.output)
}

func (a *application) agreeToUpdate(ctx context.Context) error {
	tty, err := terminal.Open(a.in, a.err)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	yes, err := tty.Confirm(ctx, a.err, "build this image? [y/N] ")
	if err != nil || !yes {
		return errors.Join(fmt.Errorf("nothing is built: only a yes on a terminal, or --yes, builds: %w", errdefs.ErrAborted), err)
	}
	return nil
}
