package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/debian"
	"github.com/claude-bottle/claude-bottle/image/npm"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// What a step may take unless flags say otherwise.
const (
	buildDisk    = "8Gi"
	buildTimeout = 30 * time.Minute
)

// buildOptions are the flags of image build.
type buildOptions struct {
	bottle, file, name  string
	runtime             string
	allowVulnerableRunc bool
	resources           backend.Resources
	disk                string
	timeout             time.Duration
	registry, mirror    string
	noCache, dryRun     bool
	dockerfile          dockerfileOptions
	// given says whether a flag stands on the command line.
	given func(flag string) bool
	// made is a recipe in place of the one that is found.
	made   *backend.Recipe
	output *format
}

func (a *application) imageBuildCommand() *cobra.Command {
	var o buildOptions
	command := &cobra.Command{
		Use:   "build [BOTTLE | -f FILE -t REFERENCE [CONTEXT]]",
		Short: "Build an image from a recipe or a Dockerfile",
		Long: `Build an image from the recipe that stands under image: in a bottle file, or in a
file of its own; without either, the default image by the recipe that ships.

A recipe starts from an image, or from Debian's own packages (debootstrap:bookworm), and
puts onto that packages of Debian's, npm packages, files beside it, and what shell
commands leave. Each step runs in a bottle of its own,
as root of that bottle, under gVisor or in a user namespace: it has no credential, no
file of this host, and reaches the hosts that the recipe lists and no others. What a
step leaves is a layer; it is found again as long as nothing that it is made of has
changed. What is newer than the recipe's epoch gets that time, so that the same files
are the same image.

A Dockerfile, of the bottle file or a file of that name, is built by BuildKit: buildctl on
$PATH asks the buildkitd at --buildkit, at $BUILDKIT_HOST, or at its usual socket. CONTEXT
is the directory that COPY takes files of, the Dockerfile's own without it. Its commands
run in BuildKit's own way, not in bottles; what comes back passes what image import does.
One that a bottle file names by a devcontainer.json is built in the same way.

What the steps say goes to stderr, the image with its digest to stdout.`,
		Example: `  claude-bottle image build                 # the default image
  claude-bottle image build web             # the recipe in ~/.claude-bottle/bottles/web.md
  claude-bottle image build -f recipe.yaml --name registry.example/tools:1
  claude-bottle image build web --dry-run   # the steps, and which of them are cached
  claude-bottle image build -f Dockerfile . -t registry.example/tools:1 --target tools --build-arg VERSION=2
  claude-bottle start claude --image registry.example/tools:1`,
		ValidArgsFunction: a.completeFiles(manifest.KindBottle),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("image build takes one bottle, or one context of a Dockerfile, got %d", len(args))}
			}
			return nil
		},
	}
	o.add(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) > 0 && (o.namesDockerfile() || contextWord(args[0])) {
			o.dockerfile.context = args[0]
		} else if len(args) > 0 {
			o.bottle = args[0]
		}
		o.given = command.Flags().Changed
		return a.interruptible(command, func(ctx context.Context) error { return a.buildImage(ctx, o) })
	}
	return command
}

func (o *buildOptions) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVarP(&o.file, "file", "f", "", "`file` with a recipe, or Dockerfile, instead of a bottle's")
	flags.StringVar(&o.name, "name", "", "`reference` that the image gets (default for a bottle: the one that start looks for)")
	flags.StringVarP(&o.name, "tag", "t", "", "same as --name")
	o.dockerfile.add(command)
	flags.StringVar(&o.runtime, "runtime", "", "auto, gvisor or runc (default: the bottle file's, else auto)")
	flags.BoolVar(&o.allowVulnerableRunc, "allow-vulnerable-runc", false, "accept a runc with known ways out")
	flags.StringVar(&o.resources.Memory, "memory", "", "memory of a step, such as 4Gi")
	flags.StringVar(&o.resources.CPUs, "cpus", "", "processors of a step, such as 2")
	flags.Int64Var(&o.resources.Processes, "processes", 0, "processes of a step")
	flags.StringVar(&o.disk, "disk", buildDisk, "what a step may write, such as 8Gi")
	flags.DurationVar(&o.timeout, "timeout", buildTimeout, "how long a step may take, or a whole Dockerfile")
	flags.StringVar(&o.registry, "npm-registry", npm.DefaultRegistry, "`URL` that npm packages are got from")
	flags.StringVar(&o.mirror, "debian-mirror", "", "`URL` that Debian's packages are got from for debootstrap:SUITE (default $CLAUDE_BOTTLE_DEBIAN_MIRROR, else "+debian.DefaultMirror+")")
	flags.BoolVar(&o.noCache, "no-cache", false, "run every step, whatever earlier builds have made")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and do nothing")
	o.output = addFormat(command, "text", "json", "yaml")
}

// buildImage plans and builds.
func (a *application) buildImage(ctx context.Context, o buildOptions) error {
	if o.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %s: give a time such as 30m", o.timeout)}
	}
	if wish, err := a.findDockerfile(o); err != nil {
		return err
	} else if wish != nil {
		return a.buildDockerfile(ctx, wish, o)
	}
	progress := newProgress(a.err, a.quiet, time.Now())
	defer progress.finish()
	spec, err := a.buildSpec(ctx, o, progress)
	if err != nil {
		return err
	}
	opened, err := a.openBackend(ctx, progress)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	builder, ok := opened.(backend.Builder)
	if !ok {
		return errNoBuilder
	}
	plan, err := builder.PlanBuild(ctx, spec)
	if err != nil {
		return err
	}
	if shown, err := a.showBuild(plan, o); shown || err != nil {
		return err
	}
	result, err := a.runBuild(ctx, builder, plan, progress)
	if err != nil {
		return err
	}
	return a.printBuilt(result, o.output)
}

// showBuild shows what would be built; shown says that this was all that was asked for.
func (a *application) showBuild(plan printer, o buildOptions) (shown bool, err error) {
	switch {
	case o.dryRun:
		return true, printPlan(a.out, plan, o.output)
	case a.quiet:
		return false, nil
	default:
		return false, plan.Print(a.err)
	}
}

var errNoBuilder = fmt.Errorf("this backend builds no images: %w", errdefs.ErrNotImplemented)

// runBuild builds, and shows what the steps say.
func (a *application) runBuild(ctx context.Context, builder backend.Builder, plan *backend.BuildPlan, progress *progress) (backend.BuildResult, error) {
	defer progress.finish()
	return builder.Build(ctx, plan, a.heard(progress))
}

// heard is where the words of a build go, which are foreign text.
func (a *application) heard(progress *progress) io.Writer {
	if a.quiet {
		return io.Discard
	}
	return clearing{progress, terminal.NewFilter(a.err)}
}

// clearing takes the bar away before something else is written.
type clearing struct {
	progress *progress
	to       io.Writer
}

// Write implements io.Writer.
func (c clearing) Write(data []byte) (int, error) {
	c.progress.finish()
	return c.to.Write(data)
}

func (a *application) printBuilt(result backend.BuildResult, output *format) error {
	if done, err := output.structured(a.out, result); done || err != nil {
		return err
	}
	if !a.quiet {
		what := fmt.Sprintf("%d of %d steps ran, %s", result.Built, result.Built+result.Cached, backend.Bytes(result.Size))
		if result.Built == 0 {
			what = "cached: nothing has changed"
		}
		if _, err := fmt.Fprintf(a.err, "%s: %s\n", result.Name, what); err != nil {
			return err
		}
		if result.Audit != "" {
			if _, err := fmt.Fprintf(a.err, "what the steps asked of the network is in %s\n", result.Audit); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(a.out, "%s@%s\n", result.Name, result.Digest)
	return err
}
