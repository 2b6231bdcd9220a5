package containerd

import (
	"context"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
)

// PrepareGiven is Prepare for what goes in as another process has read it: nothing that
// the spec names is opened here.
func (b *Backend) PrepareGiven(ctx context.Context, spec backend.Spec, things provision.Provisions) (*backend.Plan, error) {
	return b.prepare(ctx, spec, func(context.Context, backend.Spec) (provision.Provisions, error) { return things, nil })
}

// LaunchGiven is Launch in which that provisioner fills the bottle.
func (b *Backend) LaunchGiven(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, by backend.Provisioner) (backend.Bottle, error) {
	return b.launchBottle(ctx, plan, secrets, by)
}

// Namespaces lists those that the daemon knows, of whatever program.
func (b *Backend) Namespaces(ctx context.Context) ([]string, error) { return b.client.Namespaces(ctx) }
