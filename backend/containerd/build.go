package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// build is one build under way. There is one at a time below a run directory: what another
// one has left is nobody's then.
type build struct {
	backend *Backend
	plan    *backend.BuildPlan
	detail  buildDetail
	out     io.Writer
}

// Build implements backend.Builder.
func (b *Backend) Build(ctx context.Context, plan *backend.BuildPlan, out io.Writer) (result backend.BuildResult, err error) {
	detail, ok := plan.Detail.(buildDetail)
	if !ok {
		return result, fmt.Errorf("build: the plan was not made by this backend: %w", os.ErrInvalid)
	}
	held, err := b.holdBuild(ctx, out)
	if err != nil {
		return result, err
	}
	defer held.release()
	if err := b.client.DropBuildLeases(ctx, b.layout.runRoot); err != nil {
		return result, err
	}
	doing := &build{backend: b, plan: plan, detail: detail, out: out}
	image, next, err := doing.start(ctx)
	if err != nil {
		return result, err
	}
	result = backend.BuildResult{Name: plan.Name, Cached: next}
	for ; next < len(plan.Steps); next++ {
		if image, err = doing.step(ctx, next, image); err != nil {
			return result, fmt.Errorf("step %d of %s: %w", next+1, plan.Name, err)
		}
		result.Built++
		result.Audit = b.layout.builds()
	}
	key := plan.Steps[len(plan.Steps)-1].Key
	if err := b.nameBuilt(ctx, plan, image.Digest, key); err != nil {
		return result, err
	}
	result.Digest, result.Size = image.Digest, image.Size
	return result, b.forgetSteps(ctx)
}

// nameBuilt gives the image its name. One that had the name, and that somebody needs, is
// called by its digest from now on.
func (b *Backend) nameBuilt(ctx context.Context, plan *backend.BuildPlan, digest, key string) error {
	uses, err := b.uses(ctx)
	if err != nil {
		return err
	}
	err = b.client.KeepOld(ctx, plan.Name, digest, func(name, old string) bool {
		return plan.Spec.KeepOld || needed(uses)(name, old)
	})
	if err != nil {
		return err
	}
	labels := map[string]string{backend.LabelRecipe: key}
	if plan.Spec.Claude != "" {
		labels[backend.LabelClaude] = plan.Spec.Claude
	}
	return b.client.NameImage(ctx, plan.Name, digest, labels)
}

// holdBuild waits until no other build is under way.
func (b *Backend) holdBuild(ctx context.Context, out io.Writer) (*lock, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		held, err := acquire(b.layout.buildLock(), false)
		if !errdefs.IsUnavailable(err) {
			return held, err
		}
		if !said {
			_, _ = fmt.Fprintln(out, "another image is being built: this build waits for it")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another build: %w", context.Cause(ctx))
		}
	}
}

// start is the image to go on from, and the number of the step to go on with.
func (d *build) start(ctx context.Context) (runtime.Image, int, error) {
	client := d.backend.client
	for i := len(d.plan.Steps) - 1; i >= 0; i-- {
		step := d.plan.Steps[i]
		if !step.Cached {
			continue
		}
		image, err := client.ResolveImage(ctx, stepName+step.Key)
		if errdefs.IsNotFound(err) {
			continue // it was removed since it was planned
		}
		if err == nil {
			image, err = client.EnsureImage(ctx, image, d.backend.options.Progress)
		}
		if err == nil {
			err = client.NameImage(ctx, image.Reference, image.Digest, usedNow())
		}
		if err != nil {
			return image, 0, err
		}
		if i == 0 {
			d.say("step 1: cached")
		} else {
			d.say("steps 1 to %d: cached", i+1)
		}
		return image, i + 1, nil
	}
	image, err := d.base(ctx)
	return image, 0, err
}

// base is the image that the first step goes on from.
func (d *build) base(ctx context.Context) (runtime.Image, error) {
	client, base, progress := d.backend.client, d.detail.base, d.backend.options.Progress
	if d.plan.Spec.Make == nil {
		return client.EnsureImage(ctx, base, progress)
	}
	if !base.Present {
		d.say("from %s: Debian's packages are unpacked", backend.Printable(d.plan.Spec.From))
		return client.MakeImage(ctx, base.Reference, d.plan.Disk, usedNow(), d.plan.Spec.Make, progress)
	}
	image, err := client.EnsureImage(ctx, base, progress)
	if err == nil {
		err = client.NameImage(ctx, image.Reference, image.Digest, usedNow())
	}
	return image, err
}

// usedNow is the label of a step's image.
func usedNow() map[string]string {
	return map[string]string{backend.LabelStep: time.Now().UTC().Format(time.RFC3339)}
}

func (d *build) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

// step makes one step in a bottle of its own, and an image of what it leaves.
func (d *build) step(ctx context.Context, number int, parent runtime.Image) (_ runtime.Image, err error) {
	planned, client := d.plan.Steps[number], d.backend.client
	d.say("step %d of %d: %s", number+1, len(d.plan.Steps), planned.Line())
	ended := d.backend.options.Progress.Step(fmt.Sprintf("step %d", number+1))
	defer func() { ended(err) }()
	l, err := d.launch(ctx, planned, parent)
	if err != nil {
		return runtime.Image{}, err
	}
	bottle := l.bottle()
	audit := openAudit(l.places)
	defer func() { err = errors.Join(err, audit.keep(d.backend.layout.audit(planned.Key))) }() // what is on its way is logged once it is over
	err = client.IfFull(ctx, d.run(ctx, number, l))
	d.tellRefused(ctx, number, l)
	if err != nil {
		return runtime.Image{}, errors.Join(err, bottle.tearDown(ctx))
	}
	leased, release, err := client.LeaseBuild(ctx, d.backend.layout.runRoot)
	if err != nil {
		return runtime.Image{}, errors.Join(err, bottle.tearDown(ctx))
	}
	defer func() { err = client.NoRoom(ctx, errors.Join(err, release())) }()
	frozen := l.id.String() + "-frozen"
	// Nobody may change what is compared: a link that is swapped would lead the daemon
	// to files of the host. So the sandbox goes first, and what it wrote stays.
	err = client.Freeze(leased, l.id.String(), frozen)
	if err := errors.Join(err, bottle.tearDown(ctx)); err != nil {
		return runtime.Image{}, err
	}
	return d.commit(leased, number, l, parent, frozen)
}
