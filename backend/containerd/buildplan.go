package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Builder = (*Backend)(nil)

// stepName is what the image of a finished step is called: nobody can pull that.
const stepName = "build.claude-bottle.invalid/step:"

// buildDetail is what this backend adds to a plan of a build.
type buildDetail struct {
	base   runtime.Image
	choice runtime.Choice
}

// String implements fmt.Stringer.
func (d buildDetail) String() string { return d.choice.Plan.Name }

// PlanBuild implements backend.Builder.
func (b *Backend) PlanBuild(ctx context.Context, spec backend.BuildSpec) (*backend.BuildPlan, error) {
	name, err := runtime.Normalize(spec.Name)
	if err != nil {
		return nil, err
	}
	if len(spec.Steps) == 0 {
		return nil, fmt.Errorf("the recipe of %s has no step: name %s as the image itself: %w", backend.Printable(spec.Name), backend.Printable(spec.From), errdefs.ErrInvalidArgument)
	}
	if err := checkProxy(); err != nil {
		return nil, err
	}
	base, err := b.planBase(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	choice, err := b.client.Choose(ctx, runtime.Policy{
		Want: spec.Runtime, Require: spec.Require, AllowVulnerableRunc: spec.AllowVulnerableRunc, Shim: b.options.Shim,
	})
	if err != nil {
		return nil, err
	}
	plan := &backend.BuildPlan{
		Name: name, Runtime: choice.Plan, Limits: spec.Limits, Disk: spec.DiskBytes, Timeout: spec.Timeout, Spec: spec,
		Base:   backend.PlanImage{Reference: base.Reference, Digest: base.Digest, Platform: base.Platform, Present: base.Present, Size: base.Size},
		User:   backend.PlanUser{Namespace: b.client.Daemon().UserNamespaces && choice.Handle.MapsUsers()},
		Detail: buildDetail{base: base, choice: choice},
	}
	if !plan.User.Namespace && choice.Plan.Name != string(backend.RuntimeGVisor) {
		return nil, fmt.Errorf("an image is built under gVisor, or in a user namespace, which containerd %s can't give: take a containerd of version 2, or leave --runtime runc out: %w",
			b.client.Daemon().Version, errdefs.ErrFailedPrecondition)
	}
	if err := checkCgroups(choice.Plan.Name); err != nil {
		return nil, err
	}
	return plan, b.planSteps(ctx, plan)
}

// planBase is the image that the steps go on from. One that is made is called as a step.
func (b *Backend) planBase(ctx context.Context, spec backend.BuildSpec) (runtime.Image, error) {
	if spec.Make == nil {
		return b.client.ResolveImage(ctx, spec.From)
	}
	name := stepName + digestOf(spec.From)
	base, err := b.client.ResolveLocalImage(ctx, name)
	if errdefs.IsNotFound(err) || err == nil && spec.NoCache {
		return runtime.Image{Reference: name}, nil
	}
	return base, err
}

// planSteps gives each step its key, and finds those that are there already.
func (b *Backend) planSteps(ctx context.Context, plan *backend.BuildPlan) error {
	known, err := b.client.NamedImages(ctx, backend.LabelStep)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, image := range known {
		there[image.Name] = true
	}
	origin := plan.Base.Digest
	if plan.Spec.Make != nil {
		origin = plan.Spec.From // as with packages, --no-cache asks for newer ones
	}
	key := digestOf(append([]string{origin}, plan.Spec.Env...)...)
	for _, step := range plan.Spec.Steps {
		hosts, err := supervise.Hosts(step.Egress, nil)
		if err != nil {
			return fmt.Errorf("egress of step %s: %w", backend.Printable(step.Title), err)
		}
		if len(step.Argv) == 0 {
			hosts = nil
		}
		key = digestOf(key, step.Inputs)
		plan.Steps = append(plan.Steps, backend.PlannedStep{
			Title: step.Title, Hosts: hosts, Key: key, Cached: there[stepName+key] && !plan.Spec.NoCache,
		})
	}
	// What comes before a step that is there is in it.
	cached := false
	for i := len(plan.Steps) - 1; i >= 0; i-- {
		cached = cached || plan.Steps[i].Cached
		plan.Steps[i].Cached = cached
	}
	if !cached || !plan.Steps[len(plan.Steps)-1].Cached {
		return nil
	}
	images, err := b.client.NamedImages(ctx, backend.LabelRecipe)
	for _, image := range images {
		plan.Current = plan.Current || image.Name == plan.Name && image.Labels[backend.LabelRecipe] == key
	}
	return err
}

// HasImage implements backend.Builder.
func (b *Backend) HasImage(ctx context.Context, reference string) (bool, error) {
	return b.client.HasImage(ctx, reference)
}

// checkBuilt says how an image is made that is not there: no registry has it.
func (b *Backend) checkBuilt(ctx context.Context, spec backend.Spec) error {
	bottle := spec.Manifest.Bottle
	if spec.Image != "" || !bottle.Builds() {
		return nil
	}
	there, err := b.client.HasImage(ctx, imageReference(spec))
	if err == nil && !there {
		err = fmt.Errorf("the image of bottle %s is not built: `claude-bottle image build %s` builds it as its file says: %w", bottle.Name, bottle.Name, errdefs.ErrNotFound)
	}
	return err
}

// digestOf is one hash of several texts.
func digestOf(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:])
}
