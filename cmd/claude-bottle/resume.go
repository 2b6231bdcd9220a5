package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) resumeCommand() *cobra.Command {
	var o startOptions
	var kept string
	command := &cobra.Command{
		Use:   "resume NAME [flags] [-- CLAUDE ARGS]",
		Short: "Go on with a bottle that was kept",
		Long: `Bring a kept bottle back: its workspace as the agent left it, its home, and claude
with the conversation that it had last. The sandbox is a new one.

The plan is made anew from the agent and bottle file as they are now. Where it differs
from the one that the bottle was launched with, the difference is shown before
anything is launched. Nothing of the working directory goes in again; settings,
skills and the prompt do.

NAME is what ` + "`claude-bottle list`" + ` shows, with its @ suffix when several kept bottles had
the name. While another bottle has it, --name gives this one a new name.

The exit codes are those of start: claude's own, 125 when the bottle could not be
launched (what was kept stays), 3 when the name is in use.`,
		Example: `  claude-bottle resume claude
  claude-bottle resume claude@k3x9p --name second
  claude-bottle resume claude --yes -- -p "and now the tests"
  claude-bottle resume claude --dry-run`,
		Annotations:       map[string]string{annotationOwnCode: "yes"},
		Args:              oneBeforeDash("resume takes the name of one kept bottle"),
		ValidArgsFunction: a.completeNames(1, keptBottle),
		RunE: func(command *cobra.Command, args []string) error {
			kept, o.claudeArgs = args[0], args[1:]
			return a.resume(command.Context(), kept, o)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.name, "name", "", "another `name` for the bottle (default: the one that it had)")
	flags.StringVar(&o.agent, "agent", "", "`agent` to plan with (default: the one that it was started with)")
	flags.StringVar(&o.runtime, "runtime", "", "auto, gvisor or runc (default: the one that it ran on, unless the bottle file demands gvisor)")
	flags.StringVar(&o.image, "image", "", "image `reference` (default: the bottle file's)")
	o.addLaunch(command)
	return command
}

// resume is start for a bottle that is there.
func (a *application) resume(ctx context.Context, name string, o startOptions) error {
	began := time.Now()
	if err := supervise.Harden(); err != nil { // secrets are read here, as in start
		return err
	}
	return a.session(ctx, o, began, func(ctx context.Context, opened closingBackend) (backend.Spec, manifest.Options, error) {
		keeper, err := keeperOf(opened)
		if err != nil {
			return backend.Spec{}, manifest.Options{}, err
		}
		kept, err := keeper.Find(ctx, name)
		if err != nil {
			return backend.Spec{}, manifest.Options{}, err
		}
		return a.resumeSpec(kept, o)
	})
}

// resumeSpec is the wish for the kept bottle as it was, as far as the files of now
// allow.
func (a *application) resumeSpec(kept *backend.Work, o startOptions) (backend.Spec, manifest.Options, error) {
	if o.name == "" {
		o.name = kept.ID.Name
	}
	stored := kept.Plan
	switch {
	case o.agent != "":
	case stored == nil || stored.Agent == "":
		return backend.Spec{}, manifest.Options{}, fmt.Errorf("the plan of %s can't be read: say with --agent which agent goes on: %w", kept.Handle(), errdefs.ErrFailedPrecondition)
	default:
		o.agent = stored.Agent
	}
	declared := resources.Applied(kept.Declaration)
	if declared != nil {
		o.bottle, o.image = declared.Spec.Bottle, cmp.Or(o.image, declared.Spec.Image)
	}
	spec, options, err := a.specIn(projectOf(stored), o)
	if err != nil {
		return spec, options, err
	}
	if declared != nil {
		if spec.Limits, err = resources.Limits(declared.Spec.Resources, spec.Manifest.Bottle); err != nil {
			return spec, options, err
		}
	}
	spec.Resume = kept
	if o.detach && spec.Declaration == nil {
		spec.Declaration = kept.Declaration
	}
	if stored == nil {
		return spec, options, nil
	}
	if spec.Runtime == "" && (stored.Runtime.Name == string(backend.RuntimeGVisor) || spec.Manifest.Bottle.Runtime != backend.RuntimeGVisor) {
		spec.Runtime = backend.RuntimePolicy(stored.Runtime.Name)
	}
	if token, ok := a.lookup(backend.CredentialOAuth.Variable()); ok && token != "" {
		spec.ForwardOAuthToken = stored.Anthropic.Credential == backend.CredentialOAuth
	}
	spec.RemoteControl = stored.RemoteControl
	return spec, options, nil
}

// projectOf is where the bottle was started, when that is known and there: its
// repository may have an agent file of its own.
func projectOf(stored *backend.Plan) string {
	if stored == nil || stored.Workspace == nil {
		return ""
	}
	if info, err := os.Stat(stored.Workspace.Path); err != nil || !info.IsDir() {
		return ""
	}
	return stored.Workspace.Path
}
