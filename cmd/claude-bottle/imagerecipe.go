package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/image/debian"
	"github.com/claude-bottle/claude-bottle/image/npm"
	"github.com/claude-bottle/claude-bottle/image/recipe"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
)

// buildSpec reads the recipe, and all that it names.
func (a *application) buildSpec(ctx context.Context, o buildOptions, progress backend.Progress) (backend.BuildSpec, error) {
	spec := backend.BuildSpec{
		Runtime: backend.RuntimePolicy(o.runtime), AllowVulnerableRunc: o.allowVulnerableRunc,
		Timeout: o.timeout, NoCache: o.noCache, Name: o.name,
	}
	found, err := a.findRecipe(o, &spec)
	if err != nil {
		return spec, err
	}
	if o.made != nil {
		found = *o.made
	}
	_, spec.Claude, _ = recipe.Claude(found) // one without says nothing of it
	if spec.Limits, err = manifest.Limits(o.resources); err != nil {
		return spec, usageError{err}
	}
	if spec.DiskBytes, err = manifest.ParseSize(o.disk); err != nil || spec.DiskBytes <= 0 {
		return spec, usageError{fmt.Errorf("--disk %q: give a size such as 512Mi or 8Gi", o.disk)}
	}
	host, err := manifest.LoadHost(manifest.Options{HostFile: manifest.DefaultHostFile})
	if err != nil {
		return spec, err
	}
	spec.Require = host.RequireRuntime
	spec.From, spec.Env = found.From, recipe.Env(found)
	if suite, ok := recipe.Suite(found.From); ok {
		mirror, err := a.debianMirror(o.mirror)
		if err != nil {
			return spec, err
		}
		archive := debian.Archive{URL: mirror, Progress: progress}
		spec.Make = func(ctx context.Context, w io.Writer) error {
			return archive.Root(ctx, suite, goruntime.GOARCH, w)
		}
	}
	registry := npm.Registry{URL: o.registry, Progress: progress}
	spec.Steps, err = recipe.Steps(ctx, found, recipe.Options{Fetch: registry.Put})
	return spec, err
}

// debianMirror is where Debian's packages are got: what the flag says, or else the
// environment.
func (a *application) debianMirror(flag string) (string, error) {
	mirror := cmp.Or(flag, a.environment("CLAUDE_BOTTLE_DEBIAN_MIRROR", debian.DefaultMirror))
	parsed, err := url.Parse(mirror)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", usageError{fmt.Errorf("--debian-mirror %s: give a URL such as %s", backend.Printable(mirror), debian.DefaultMirror)}
	}
	return strings.TrimRight(mirror, "/"), nil
}

// findRecipe reads the recipe of the file or the bottle that was asked for.
func (a *application) findRecipe(o buildOptions, spec *backend.BuildSpec) (backend.Recipe, error) {
	switch {
	case o.file != "" && o.bottle != "":
		return backend.Recipe{}, usageError{errors.New("name a bottle, or a file with -f: not both")}
	case o.file != "":
		if o.name == "" {
			return backend.Recipe{}, usageError{errors.New("--name says what the image of a file is to be called")}
		}
		path, err := filepath.Abs(o.file)
		if err != nil {
			return backend.Recipe{}, fmt.Errorf("find %s: %w", o.file, err)
		}
		return manifest.ReadRecipe(path)
	case o.bottle == "":
		if spec.Name == "" {
			spec.Name = containerd.DefaultImage
		}
		return defaultRecipe()
	}
	options, err := a.manifestOptions()
	if err != nil {
		return backend.Recipe{}, err
	}
	bottle, err := manifest.LoadBottle(options, o.bottle)
	if err != nil {
		return backend.Recipe{}, err
	}
	if bottle.Recipe == nil {
		image := cmp.Or(bottle.Image, containerd.DefaultImage)
		if bottle.Dockerfile != nil {
			image = "made by " + bottle.Dockerfile.File
		}
		if bottle.Devcontainer != nil {
			image += ", as " + bottle.Devcontainer.File + " says"
		}
		return backend.Recipe{}, fmt.Errorf("bottle %s has no recipe: its image is %s: %w", o.bottle, backend.Printable(image), errdefs.ErrFailedPrecondition)
	}
	if spec.Name == "" {
		spec.Name = backend.BuiltImage(o.bottle)
	}
	if spec.Runtime == "" {
		spec.Runtime = bottle.Runtime
	}
	return *bottle.Recipe, nil
}

// defaultRecipe is the one that ships for this host's architecture.
func defaultRecipe() (backend.Recipe, error) {
	data, err := recipe.Default(goruntime.GOARCH)
	if err != nil {
		return backend.Recipe{}, err
	}
	return manifest.ParseRecipe("the default recipe", data)
}

// haveImage sees to it that the image of a bottle is there, when it is made here: that of
// its file, or the default one. What is built is shown and asked for, as what is launched.
func (l *launching) haveImage(ctx context.Context, spec backend.Spec) error {
	builder, ok := l.opened.(backend.Builder)
	if !ok {
		return nil
	}
	if wish := dockerfileFor(spec); wish != nil {
		return l.haveDockerfile(ctx, builder, wish, spec)
	}
	build, settled := recipeFor(spec)
	if build == nil {
		return nil
	}
	if settled {
		if there, err := builder.HasImage(ctx, imageOf(build)); err != nil || there {
			return err
		}
	}
	wish, err := l.app.buildSpec(ctx, *build, l.progress)
	if err != nil {
		return err
	}
	plan, err := builder.PlanBuild(ctx, wish)
	if err != nil {
		// What was built once needs nothing of what it was built from.
		if there, hasErr := builder.HasImage(ctx, wish.Name); hasErr == nil && there {
			_, err = fmt.Fprintf(l.app.err, "claude-bottle: can't tell whether image %s is still what its recipe says: %s\n", wish.Name, printableLines(err.Error()))
			return err
		}
		return fmt.Errorf("plan image %s: %w", wish.Name, err)
	}
	if plan.Current {
		return nil
	}
	if err := l.agreeToBuild(ctx, plan.Name, plan.Print, strings.TrimSpace("claude-bottle image build "+build.bottle)); err != nil {
		return err
	}
	if err := l.approved(ctx, spec); err != nil {
		return err
	}
	_, err = l.app.runBuild(ctx, builder, plan, l.progress)
	return err
}

// isSettled says that the image is taken as it is, whatever its recipe says now: one that was
// named, and that of a kept bottle whose files are as they were.
func isSettled(spec backend.Spec) bool {
	kept := spec.Resume
	return spec.Image != "" || kept != nil && kept.Plan != nil && sameFiles(kept.Plan, spec.Manifest.Files)
}

// recipeFor says what is to be built for a bottle; nil where no recipe makes its image. The
// default image is always settled.
func recipeFor(spec backend.Spec) (build *buildOptions, settled bool) {
	bottle := spec.Manifest.Bottle
	build = &buildOptions{
		runtime: string(spec.Runtime), allowVulnerableRunc: spec.AllowVulnerableRunc,
		disk: buildDisk, timeout: buildTimeout, registry: npm.DefaultRegistry,
	}
	switch {
	case bottle.Recipe != nil && (spec.Image == "" || spec.Image == backend.BuiltImage(bottle.Name)):
		build.bottle = bottle.Name
		return build, isSettled(spec)
	case bottle.Recipe == nil && cmp.Or(spec.Image, bottle.Image, containerd.DefaultImage) == containerd.DefaultImage:
		return build, true
	default:
		return nil, false
	}
}

// imageOf is what the image is called that is built.
func imageOf(build *buildOptions) string {
	if build.bottle == "" {
		return containerd.DefaultImage
	}
	return backend.BuiltImage(build.bottle)
}

// agreeToBuild shows what is to be built, and has it said yes to.
func (l *launching) agreeToBuild(ctx context.Context, name string, show func(io.Writer) error, command string) error {
	if !l.app.quiet || !l.options.yes {
		if err := show(l.app.err); err != nil {
			return err
		}
	}
	switch {
	case l.options.dryRun:
		return fmt.Errorf("image %s is not built, and a bottle is planned by its digest: `%s` builds it: %w", name, command, errdefs.ErrFailedPrecondition)
	case l.options.yes:
		return nil
	case !l.tty.IsTerminal():
		return fmt.Errorf("image %s is not built: `%s` builds it, and so does a yes on a terminal, or --yes: %w", name, command, errdefs.ErrFailedPrecondition)
	}
	yes, err := l.tty.Confirm(ctx, l.app.err, "build this image? [y/N] ")
	if err != nil {
		return fmt.Errorf("%w (%w)", errDeclined, err)
	}
	if !yes {
		return errDeclined
	}
	return nil
}
