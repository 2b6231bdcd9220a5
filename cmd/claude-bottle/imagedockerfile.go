package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/dockerfile"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// dockerfileOptions are the flags of image build that say how BuildKit builds.
type dockerfileOptions struct {
	context, target, buildKit string
	args                      []string
}

func (o *dockerfileOptions) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&o.args, "build-arg", nil, "`NAME=VALUE` of an ARG of a Dockerfile; NAME alone takes the variable's value")
	flags.StringVar(&o.target, "target", "", "`stage` of a Dockerfile that is built (default: the last one)")
	flags.StringVar(&o.buildKit, "buildkit", "", "`address` of buildkitd (default $BUILDKIT_HOST, else its usual sockets)")
}

// onlyRecipes are the flags that say something to the steps of recipes alone.
func onlyRecipes() []string {
	return []string{"runtime", "allow-vulnerable-runc", "memory", "cpus", "processes", "disk", "npm-registry", "debian-mirror"}
}

// namesDockerfile says that the file which was named is a Dockerfile: by its own name, or
// by what was said beside it.
func (o buildOptions) namesDockerfile() bool {
	name := strings.ToLower(filepath.Base(o.file))
	for _, word := range []string{"dockerfile", "containerfile"} {
		if o.file != "" && (strings.HasPrefix(name, word) || strings.HasSuffix(name, "."+word)) {
			return true
		}
	}
	return o.dockerfile.context != "" || o.file != "" && (o.dockerfile.target != "" || len(o.dockerfile.args) > 0)
}

// findDockerfile is what BuildKit is to build, or nil when a recipe is to be built.
func (a *application) findDockerfile(o buildOptions) (*dockerfile.Wish, error) {
	wish := &dockerfile.Wish{Name: o.name, NoCache: o.noCache, Timeout: o.timeout, BuildKit: o.dockerfile.buildKit, Lookup: a.lookup}
	switch {
	case o.namesDockerfile():
		if o.name == "" {
			return nil, usageError{errors.New("-t says what the image of a Dockerfile is to be called")}
		}
		wish.File, wish.Context = o.file, o.dockerfile.context
		if wish.File == "" {
			wish.File = filepath.Join(wish.Context, "Dockerfile")
		}
		for _, path := range []*string{&wish.File, &wish.Context} {
			if *path == "" {
				continue
			}
			absolute, err := filepath.Abs(*path)
			if err != nil {
				return nil, fmt.Errorf("find %s: %w", *path, err)
			}
			*path = absolute
		}
	case o.bottle == "" || o.file != "": // the file of a recipe; findRecipe refuses both together
		return nil, o.noDockerfile()
	default:
		found, err := a.dockerfileOf(o.bottle)
		if err != nil || found == nil {
			return nil, errors.Join(err, o.noDockerfile())
		}
		wish.Dockerfile = *found
		if wish.Name == "" {
			wish.Name = backend.BuiltImage(o.bottle)
		}
	}
	for _, flag := range onlyRecipes() {
		if o.given(flag) {
			return nil, usageError{fmt.Errorf("--%s is for recipes: how BuildKit runs the steps of a Dockerfile is buildkitd's to say", flag)}
		}
	}
	return wish, a.overlay(wish, o.dockerfile)
}

// noDockerfile refuses flags that say something to BuildKit where a recipe is built.
func (o buildOptions) noDockerfile() error {
	if o.dockerfile.target != "" || o.dockerfile.buildKit != "" || len(o.dockerfile.args) > 0 {
		return usageError{errors.New("--target, --build-arg and --buildkit are for Dockerfiles: name one with -f, or a bottle that has one")}
	}
	return nil
}

// overlay lays what flags say over what the bottle file does.
func (a *application) overlay(wish *dockerfile.Wish, o dockerfileOptions) error {
	if o.target != "" {
		wish.Target = o.target
	}
	args := map[string]string{}
	maps.Copy(args, wish.Args)
	for _, word := range o.args {
		name, value, given := strings.Cut(word, "=")
		if !given {
			if value, given = a.lookup(name); !given {
				return usageError{fmt.Errorf("--build-arg %s: give NAME=VALUE, or set that variable", backend.Printable(name))}
			}
		}
		args[name] = value
	}
	wish.Args = args
	return nil
}

// dockerfileOf is that of a bottle, nil when it has none.
func (a *application) dockerfileOf(bottle string) (*backend.Dockerfile, error) {
	options, err := a.manifestOptions()
	if err != nil {
		return nil, err
	}
	read, err := manifest.LoadBottle(options, bottle)
	return read.Dockerfile, err
}

// buildDockerfile plans and has BuildKit build.
func (a *application) buildDockerfile(ctx context.Context, wish *dockerfile.Wish, o buildOptions) error {
	plan, err := dockerfile.Describe(*wish)
	if err != nil {
		return err
	}
	if err := plan.Have(ctx, *wish); err != nil {
		return err
	}
	if shown, err := a.showBuild(plan, o); shown || err != nil {
		return err
	}
	progress := newProgress(a.err, a.quiet, time.Now())
	defer progress.finish()
	opened, err := a.openImages(ctx, progress)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	image, err := a.runBuildKit(ctx, opened, plan, progress)
	if err != nil {
		return err
	}
	if done, err := o.output.structured(a.out, image); done || err != nil {
		return err
	}
	if !a.quiet {
		if _, err := fmt.Fprintf(a.err, "%s: %s\n", image.Name, backend.Bytes(image.Size)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.out, image.Pinned())
	return err
}

// runBuildKit builds, shows what BuildKit says, and imports what comes back.
func (a *application) runBuildKit(ctx context.Context, carrier backend.ImageCarrier, plan *dockerfile.Plan, progress *progress) (image backend.Image, err error) {
	defer progress.finish()
	err = plan.Build(ctx, a.heard(progress), func(ctx context.Context, archive io.Reader) error {
		list, err := carrier.ImportImage(ctx, backend.ImageImport{Archive: archive, Name: plan.Name, Recipe: plan.Recipe})
		if err == nil {
			image = list[0]
		}
		return err
	})
	return image, err
}

// dockerfileFor is what BuildKit is to build for a bottle, or nil.
func dockerfileFor(spec backend.Spec) *dockerfile.Wish {
	bottle := spec.Manifest.Bottle
	name := backend.BuiltImage(bottle.Name)
	if bottle.Dockerfile == nil || spec.Image != "" && spec.Image != name {
		return nil
	}
	return &dockerfile.Wish{Dockerfile: *bottle.Dockerfile, Name: name, Timeout: buildTimeout}
}

// haveDockerfile is haveImage for a bottle with a Dockerfile. It is built when it is not
// there, or not of what the file says now, unless what is there is settled; whether files of
// the context have changed is not looked at.
func (l *launching) haveDockerfile(ctx context.Context, builder backend.Builder, wish *dockerfile.Wish, spec backend.Spec) error {
	if isSettled(spec) {
		if there, err := builder.HasImage(ctx, wish.Name); err != nil || there {
			return err
		}
	}
	images, ok := l.opened.(openedImages)
	if !ok {
		return nil // whoever plans it says so
	}
	wish.Lookup = l.app.lookup
	there, err := images.InspectImage(ctx, wish.Name)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	plan, err := dockerfile.Describe(*wish)
	if err == nil {
		err = sameDockerfile(plan, spec.Manifest.Files)
	}
	if err == nil && there != nil && there.Recipe == plan.Recipe {
		return nil
	}
	if err == nil {
		err = plan.Have(ctx, *wish)
	}
	if err != nil && there != nil && !errors.Is(err, context.Canceled) {
		// What was built once needs nothing of what it was built from.
		_, err = fmt.Fprintf(l.app.err, "claude-bottle: image %s may not be what its Dockerfile says any more, and can't be built: %s\n", wish.Name, printableLines(err.Error()))
		return err
	}
	if err != nil {
		return fmt.Errorf("plan image %s: %w", wish.Name, err)
	}
	if err := l.agreeToBuild(ctx, plan.Name, plan.Print, "claude-bottle image build "+spec.Manifest.Bottle.Name); err != nil {
		return err
	}
	if err := l.approved(ctx, spec); err != nil {
		return err
	}
	_, err = l.app.runBuildKit(ctx, images, plan, l.progress)
	return err
}

// sameDockerfile refuses one that is to be approved, and is another one than was read for
// that.
func sameDockerfile(plan *dockerfile.Plan, files []backend.ManifestFile) error {
	for _, file := range files {
		if file.Kind == string(manifest.KindDockerfile) && file.SHA256 != plan.SHA256 {
			return fmt.Errorf("%s has changed since it was read: start again: %w", backend.Printable(file.Path), errdefs.ErrAborted)
		}
	}
	return nil
}

// contextWord says that the word names a directory, and no bottle.
func contextWord(word string) bool {
	return strings.ContainsRune(word, os.PathSeparator) || word == "." || word == ".."
}
