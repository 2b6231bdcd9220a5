package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// helping is whom a helper bottle helps: a bottle that is kept has no sandbox, and
// commands that look at its work must not run on the host. A helper is a bottle
// like any other, but that it has no host to reach, no credential and nothing to
// keep. Its directories, its record and its lock are its own: whoever takes it down
// knows nothing of the bottle that it helps.
type helping struct {
	// id is the bottle whose range of ids the helper has.
	id backend.ID
	// workspace is the directory of the host that it works in; "" is an empty one
	// of its own.
	workspace string
	// held is the lock of that bottle, which the helper's supervisor holds too:
	// nobody else comes to the work before the helper is gone, even when the one
	// who asked for it was killed.
	held *os.File
}

// files are those that the supervisor is to keep open.
func (h *helping) files() []*os.File {
	if h == nil || h.held == nil {
		return nil
	}
	return []*os.File{h.held}
}

// nowhere is the API of a helper: RFC 6761 has nobody answer to such a name.
const nowhere = "https://nowhere.invalid"

// owner is the bottle whose range of ids this one has.
func (l *launch) owner() backend.ID {
	if l.helps != nil {
		return l.helps.id
	}
	return l.id
}

// workspace is the directory of the host that the bottle works in.
func (l *launch) workspace() string {
	if l.helps != nil && l.helps.workspace != "" {
		return l.helps.workspace
	}
	return l.place(backend.PlaceWorkspace)
}

// help brings up a helper of the bottle that did this work, of the same image. The
// caller closes it.
func (b *Backend) help(ctx context.Context, work *backend.Work, helps *helping) (*bottle, error) {
	plan, err := b.helperPlan(ctx, work)
	if err != nil {
		return nil, fmt.Errorf("plan a helper bottle for %s: %w", work.Handle(), err)
	}
	l, err := b.launch(ctx, plan, backend.Secrets{}, role{helps: helps})
	if err != nil {
		return nil, fmt.Errorf("helper bottle for %s: %w", work.Handle(), err)
	}
	return l.bottle(), nil
}

// helperPlan resolves the image and the runtime anew: both may have gone since the
// bottle ran, and what the host demands may have changed.
func (b *Backend) helperPlan(ctx context.Context, work *backend.Work) (*backend.Plan, error) {
	if work.Plan == nil {
		return nil, fmt.Errorf("the plan of %s can't be read, so its image is unknown: its files are in %s: %w",
			work.Handle(), work.Place(backend.PlaceWorkspace), errdefs.ErrFailedPrecondition)
	}
	image, err := b.client.ResolveImage(ctx, work.Plan.Image.Pinned())
	if err != nil {
		return nil, fmt.Errorf("it needs the image that the bottle had: import that again, or take the files from %s: %w", work.Place(backend.PlaceWorkspace), err)
	}
	choice, err := b.helperRuntime(ctx, work.Plan)
	if err != nil {
		return nil, err
	}
	plan, err := b.sandboxPlan("helper-"+strings.ToLower(rand.Text()[:suffixWidth]), image, choice)
	if err != nil {
		return nil, err
	}
	plan.Agent, plan.Bottle, plan.Limits = work.Plan.Agent, work.Plan.Bottle, work.Plan.Limits
	plan.Anthropic = backend.PlanAnthropic{Upstream: nowhere}
	plan.Discard = true
	return plan, nil
}

// helperRuntime is the one that the host demands, else the one that the bottle had.
func (b *Backend) helperRuntime(ctx context.Context, plan *backend.Plan) (runtime.Choice, error) {
	required, err := b.options.Require()
	if err != nil {
		return runtime.Choice{}, err
	}
	want := required
	if want == "" {
		want = backend.RuntimePolicy(plan.Runtime.Name)
	}
	return b.client.Choose(ctx, runtime.Policy{Want: want, Require: required, Shim: b.options.Shim})
}
