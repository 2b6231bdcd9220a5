package containerd

import (
	"context"
	"fmt"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// DefaultImage is what a bottle gets whose file names no image.
const DefaultImage = "docker.io/claude-bottle/default:latest"

// defaultUpstream is the Anthropic API, unless ANTHROPIC_BASE_URL of the host
// names another.
const defaultUpstream = "https://api.anthropic.com"

// Prepare implements backend.Backend.
func (b *Backend) Prepare(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	return b.prepare(ctx, spec, func(ctx context.Context, spec backend.Spec) (provision.Provisions, error) {
		return provision.Gather(ctx, spec, b.options.Root, b.options.RunRoot)
	})
}

// gather says what goes into a bottle.
type gather func(ctx context.Context, spec backend.Spec) (provision.Provisions, error)

// prepare looks at the image, the runtime and what goes in side by side.
func (b *Backend) prepare(ctx context.Context, spec backend.Spec, gather gather) (*backend.Plan, error) {
	spec, resumed, err := resumeSpec(spec)
	if err != nil {
		return nil, err
	}
	name := spec.BottleName()
	if err := backend.ValidateName("bottle", name); err != nil {
		return nil, err
	}
	if resumed == nil || !spec.Restart || resumed.ID.Name != name {
		if err := b.checkNameFree(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := b.checkBuilt(ctx, spec); err != nil {
		return nil, err
	}
	var (
		image  runtime.Image
		choice runtime.Choice
		things provision.Provisions
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		image, err = b.resolveImage(groupCtx, spec)
		return err
	})
	group.Go(func() (err error) {
		choice, err = b.client.Choose(groupCtx, b.runtimePolicy(spec))
		return err
	})
	group.Go(func() (err error) {
		things, err = gather(groupCtx, spec)
		return err
	})
	if err := group.Wait(); err != nil {
		if closeErr := things.Workspace.Close(); closeErr != nil {
			return nil, fmt.Errorf("%w (and close the working directory: %w)", err, closeErr)
		}
		return nil, err
	}
	plan, err := b.plan(spec, image, choice, things)
	if err != nil {
		_ = things.Workspace.Close()
		return nil, err
	}
	if resumed != nil {
		goOn(plan, spec.Resume, resumed)
	}
	return plan, nil
}

// checkNameFree says early what the claim at launch would say.
func (b *Backend) checkNameFree(ctx context.Context, name string) error {
	record, err := b.client.Record(ctx, name)
	if errdefs.IsNotFound(err) {
		return b.checkNotUnrecorded(ctx, name)
	}
	if err != nil {
		return err
	}
	alive, err := b.lives(ctx, record)
	if err != nil {
		return err
	}
	if alive && record.Labels[backend.LabelWish] != backend.WishGone {
		return errNameInUse(name)
	}
	return checkRecord(record)
}

func (b *Backend) plan(spec backend.Spec, image runtime.Image, choice runtime.Choice, things provision.Provisions) (*backend.Plan, error) {
	bottle := spec.Manifest.Bottle
	api, err := anthropic(spec)
	if err != nil {
		return nil, err
	}
	reach, err := planReach(spec)
	if err != nil {
		return nil, err
	}
	env, err := provision.Environment(spec, api.Credential)
	if err != nil {
		return nil, err
	}
	plan, err := b.sandboxPlan(spec.BottleName(), image, choice)
	if err != nil {
		return nil, err
	}
	plan.Agent, plan.Bottle, plan.Files = spec.Manifest.Agent.Name, bottle.Name, spec.Manifest.Files
	plan.Inputs, plan.Workspace, plan.SSH = things.Inputs, things.Workspace, things.SSH
	plan.Env = append(env, provision.TerminalEnvironment(spec)...)
	plan.Egress, plan.Ask, plan.Routes = reach.hosts, reach.ask, reach.routes
	plan.Anthropic, plan.DLP, plan.Limits = api, bottle.DLP, spec.Limits
	plan.Command = command(spec)
	plan.Warnings = slices.Concat(things.Warnings, reach.warnings, warnings(spec, choice, api.Credential))
	plan.RemoteControl, plan.Debug, plan.RawTerminal, plan.Discard = spec.RemoteControl, bottle.Debug, spec.RawTerminal, spec.Discard
	plan.Declaration = spec.Declaration
	if from := bottle.Devcontainer; from != nil {
		plan.Setup, plan.Ports, plan.Ignored = from.Setup, from.Ports, from.Ignored
	}
	plan.Mounts = mounts(plan)
	return plan, nil
}

// sandboxPlan is what of a plan follows from image and runtime.
func (b *Backend) sandboxPlan(name string, image runtime.Image, choice runtime.Choice) (*backend.Plan, error) {
	if err := checkCgroups(choice.Plan.Name); err != nil {
		return nil, err
	}
	daemon := b.client.Daemon()
	return &backend.Plan{
		Version: backend.PlanVersion,
		Name:    name,
		Image: backend.PlanImage{
			Reference: image.Reference, Digest: image.Digest, Platform: image.Platform, Present: image.Present, Size: image.Size, Claude: image.Claude,
		},
		Runtime: choice.Plan,
		User:    backend.PlanUser{Namespace: daemon.UserNamespaces && choice.Handle.MapsUsers()},
		Detail: Detail{
			Address: b.options.Address, Version: daemon.Version, Namespace: b.options.Namespace,
			handle: choice.Handle, image: image,
		},
	}, nil
}

func (b *Backend) resolveImage(ctx context.Context, spec backend.Spec) (runtime.Image, error) {
	reference := imageReference(spec)
	if !spec.NoPull {
		return b.client.ResolveImage(ctx, reference)
	}
	image, err := b.client.ResolveLocalImage(ctx, reference)
	if errdefs.IsNotFound(err) {
		return image, fmt.Errorf("image %s is not on this host, and nothing is pulled for you: ask the administrator to import it, or name another with --image: %w", backend.Printable(reference), errdefs.ErrNotFound)
	}
	return image, err
}

func imageReference(spec backend.Spec) string {
	switch {
	case spec.Image != "":
		return spec.Image
	case spec.Manifest.Bottle.Builds():
		return backend.BuiltImage(spec.Manifest.Bottle.Name)
	case spec.Manifest.Bottle.Image != "":
		return spec.Manifest.Bottle.Image
	default:
		return DefaultImage
	}
}

func (b *Backend) runtimePolicy(spec backend.Spec) runtime.Policy {
	want := spec.Runtime
	if want == "" {
		want = spec.Manifest.Bottle.Runtime
	}
	if want == "" {
		want = backend.RuntimeAuto
	}
	return runtime.Policy{
		Want:                want,
		Require:             spec.Manifest.Host.RequireRuntime,
		AllowVulnerableRunc: spec.AllowVulnerableRunc,
		NoProbe:             spec.DryRun,
		Shim:                b.options.Shim,
	}
}

// anthropic picks the credential, an API key before an OAuth token as claude
// itself does, and the API it is for.
func anthropic(spec backend.Spec) (backend.PlanAnthropic, error) {
	isSet := func(kind backend.CredentialKind) bool {
		value, ok := spec.Lookup(kind.Variable())
		return ok && value != ""
	}
	api := backend.PlanAnthropic{Upstream: defaultUpstream, ServerTools: spec.Manifest.Bottle.Anthropic.ServerTools}
	if upstream, ok := spec.Lookup("ANTHROPIC_BASE_URL"); ok && upstream != "" {
		api.Upstream = upstream
	}
	switch {
	case isSet(backend.CredentialOAuth) && (spec.ForwardOAuthToken || !isSet(backend.CredentialAPIKey)):
		api.Credential = backend.CredentialOAuth
	case spec.ForwardOAuthToken:
		return api, fmt.Errorf("forward OAuth token: CLAUDE_CODE_OAUTH_TOKEN is not set: run `claude setup-token` and export it: %w", errdefs.ErrFailedPrecondition)
	case isSet(backend.CredentialAPIKey):
		api.Credential = backend.CredentialAPIKey
	}
	return api, nil
}

// command is claude's command line but for the prompt file, whose path is known
// once it is provisioned.
func command(spec backend.Spec) []string {
	argv := []string{"claude"}
	if model := spec.Manifest.Agent.Model; model != "" {
		argv = append(argv, "--model", model)
	}
	if spec.RemoteControl {
		argv = append(argv, "--remote-control")
	}
	return append(argv, spec.ClaudeArgs...)
}

func warnings(spec backend.Spec, choice runtime.Choice, credential backend.CredentialKind) []string {
	var found []string
	if choice.Plan.Name == string(backend.RuntimeRunc) {
		found = append(found, "runc shares the host's kernel with the agent: a kernel bug is a way out. gVisor is the stronger runtime.")
	}
	if spec.RemoteControl {
		found = append(found, "remote control needs a claude.ai login inside the bottle and can't work with the credential that the gateway puts on.")
	}
	if credential == backend.CredentialNone {
		found = append(found, "neither ANTHROPIC_API_KEY nor CLAUDE_CODE_OAUTH_TOKEN is set: claude will not be logged in.")
	}
	if spec.Manifest.Bottle.Debug {
		found = append(found, "debug gives the agent ptrace and process_vm_* on its own processes.")
	}
	if spec.Discard {
		found = append(found, "discard: what the agent leaves in the workspace is thrown away at the end.")
	}
	if spec.RawTerminal {
		found = append(found, "the escape filter is off: the agent's output reaches your terminal as it is.")
	}
	return found
}

// mounts lists what holds data inside; /proc, /dev and their like are the same
// in every bottle.
func mounts(plan *backend.Plan) []backend.PlanMount {
	workspace := "an empty directory of the bottle's own"
	if plan.Workspace != nil {
		workspace = "the copy of " + plan.Workspace.Path
	}
	list := []backend.PlanMount{
		{Destination: backend.WorkspacePath, Kind: "bind", From: workspace},
		{Destination: backend.HomePath, Kind: "bind", From: "a home directory of the bottle's own"},
		{Destination: backend.ClaudePath, Kind: "bind", From: "settings, skills and transcripts"},
		{Destination: backend.NeckPath, Kind: "bind", From: "the neck: the only way out", ReadOnly: true},
		{Destination: "/tmp", Kind: "tmpfs", From: "memory"},
	}
	if slices.ContainsFunc(plan.Inputs, func(input backend.Input) bool { return input.Place == backend.PlaceSSH }) {
		list = append(list, backend.PlanMount{Destination: backend.SSHPath, Kind: "bind", From: "ssh configuration and copied keys, in memory"})
	}
	return list
}
