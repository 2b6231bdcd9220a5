package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/image/npm"
	"github.com/claude-bottle/claude-bottle/image/recipe"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
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
	if spec.Limits, err = manifest.Limits(o.resources); err != nil {
		return spec, usageError{err}
	}
	if spec.DiskBytes, err = manifest.ParseSize(o.disk); err != nil || spec.DiskBytes <= 0 {
		return spec, usageError{fmt.Errorf("--disk %q: give a size such as 512Mi or 8Gi", o.disk)}
	}
	if o.timeout <= 0 {
		return spec, usageError{fmt.Errorf("--timeout %s: give a time such as 30m", o.timeout)}
	}
	host, err := manifest.LoadHost(manifest.Options{HostFile: manifest.DefaultHostFile})
	if err != nil {
		return spec, err
	}
	spec.Require = host.RequireRuntime
	spec.From, spec.Env = found.From, recipe.Env(found)
	registry := npm.Registry{URL: o.registry, Progress: progress}
	spec.Steps, err = recipe.Steps(ctx, found, recipe.Options{Fetch: registry.Put})
	return spec, err
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
		return backend.Recipe{}, fmt.Errorf("bottle %s has no recipe: its image is %s: %w", o.bottle, backend.Printable(bottle.Image), errdefs.ErrFailedPrecondition)
	}
	if spec.Name == "" {
		spec.Name = backend.BuiltImage(o.bottle)
	}
	if spec.Runtime == "" {
		spec.Runtime = bottle.Runtime
	}
	return *bottle.Recipe, nil
}

// defaultRecipe is the one that ships.
func defaultRecipe() (backend.Recipe, error) {
	return manifest.ParseRecipe("the default recipe", recipe.Default())
}

// haveImage sees to it that the image of a new bottle is there, when it is made here: that
// of its file, or the default one. What is built is shown and asked for, as what is launched.
func (a *application) haveImage(ctx context.Context, opened closingBackend, spec backend.Spec, o startOptions, tty *terminal.Terminal, progress *progress) error {
	builder, ok := opened.(backend.Builder)
	if !ok || spec.Resume != nil || spec.Image != "" || spec.Manifest.Bottle.Image != "" {
		return nil
	}
	bottle := spec.Manifest.Bottle
	if bottle.Dockerfile != nil {
		return a.haveDockerfile(ctx, opened, bottle, o, tty, progress)
	}
	build := buildOptions{
		runtime: string(spec.Runtime), allowVulnerableRunc: spec.AllowVulnerableRunc,
		disk: buildDisk, timeout: buildTimeout, registry: npm.DefaultRegistry,
	}
	if bottle.Recipe != nil {
		build.bottle = bottle.Name
	} else if there, err := builder.HasImage(ctx, containerd.DefaultImage); err != nil || there {
		return err
	}
	wish, err := a.buildSpec(ctx, build, progress)
	if err != nil {
		return err
	}
	plan, err := builder.PlanBuild(ctx, wish)
	if err != nil {
		// What was built once needs nothing of what it was built from.
		if there, hasErr := builder.HasImage(ctx, wish.Name); hasErr == nil && there {
			_, err = fmt.Fprintf(a.err, "claude-bottle: can't tell whether image %s is still what its recipe says: %s\n", wish.Name, printableLines(err.Error()))
			return err
		}
		return fmt.Errorf("plan image %s: %w", wish.Name, err)
	}
	if plan.Current {
		return nil
	}
	if err := a.agreeToBuild(ctx, plan.Name, build.bottle, plan.Print, o, tty); err != nil {
		return err
	}
	_, err = a.runBuild(ctx, builder, plan, progress)
	return err
}
