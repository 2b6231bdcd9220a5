// Package fake is a backend whose bottles are directories and whose claude is a process of
// this host. It keeps the contract of backend.Backend and nothing else: there is no fence
// around anything, so it is for tests that need a backend and no daemon. No program imports
// it.
package fake

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// Backend is the one machine of its bottles. Its methods may be called from several
// goroutines.
type Backend struct {
	dir    string // a directory of its own: a bottle has one below it
	claude string // the program that stands in for claude

	mu      sync.Mutex
	bottles map[string]*bottle // those that have their name
	kept    []*bottle          // those of which only the work is left

	listeners []*listener
}

var (
	_ backend.Backend = (*Backend)(nil)
	_ backend.Opener  = (*Backend)(nil)
)

// New returns a backend whose bottles lie below dir, and whose claude is that program.
func New(dir, claude string) *Backend {
	return &Backend{dir: dir, claude: claude, bottles: map[string]*bottle{}}
}

// Prepare implements backend.Backend.
func (b *Backend) Prepare(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	name := spec.BottleName()
	if err := backend.ValidateName("bottle", name); err != nil {
		return nil, err
	}
	if err := b.inUse(name); err != nil {
		return nil, err
	}
	env, err := provision.Environment(spec, backend.CredentialNone)
	if err != nil {
		return nil, err
	}
	things, err := provision.Gather(ctx, spec, b.dir)
	if err != nil {
		return nil, err
	}
	return &backend.Plan{
		Version: backend.PlanVersion, Name: name, Agent: spec.Manifest.Agent.Name, Bottle: spec.Manifest.Bottle.Name,
		Image:  backend.PlanImage{Reference: spec.Manifest.Bottle.Image, Present: true},
		Inputs: things.Inputs, Workspace: things.Workspace, Warnings: things.Warnings, Env: env, Limits: spec.Limits,
		Command: append([]string{"claude"}, spec.ClaudeArgs...), Discard: spec.Discard, Declaration: spec.Declaration,
	}, nil
}

// inUse is an AlreadyExists error when a bottle that lives has the name.
func (b *Backend) inUse(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if other := b.bottles[name]; other != nil && !other.dead {
		return fmt.Errorf("bottle %s is there: %w", name, errdefs.ErrAlreadyExists)
	}
	return nil
}

// Launch implements backend.Backend.
func (b *Backend) Launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) (_ backend.Bottle, err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("launch %s: %w", plan.Name, context.Cause(ctx))
	}
	made, err := b.claim(ctx, plan)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.takeDown(context.WithoutCancel(ctx), made, true)
		}
	}()
	for name, value := range secrets.Env {
		made.env = append(made.env, name+"="+value.Reveal())
	}
	if err := made.fill(ctx, b.claude); err != nil {
		return nil, fmt.Errorf("launch %s: %w", plan.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	made.ready = true
	b.tell(plan.Name)
	return made, nil
}

// claim gives the plan's name to a new bottle. A dead one that has it goes first.
func (b *Backend) claim(ctx context.Context, plan *backend.Plan) (*bottle, error) {
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("pick bottle id: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if other := b.bottles[plan.Name]; other != nil {
		if !other.dead {
			return nil, fmt.Errorf("bottle %s is there: %w", plan.Name, errdefs.ErrAlreadyExists)
		}
		b.put(context.WithoutCancel(ctx), other, false)
	}
	id := backend.ID{Name: plan.Name, Suffix: hex.EncodeToString(random[:])}
	made := &bottle{backend: b, id: id, plan: plan, dir: filepath.Join(b.dir, id.String()), created: time.Now(), declared: plan.Declaration}
	b.bottles[plan.Name] = made
	return made, nil
}

// takeDown ends what runs in the bottle, and leaves of it what is to be kept.
func (b *Backend) takeDown(ctx context.Context, one *bottle, discard bool) {
	one.end()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(ctx, one, discard)
}

// put gives the name of a bottle free. The caller holds the lock.
func (b *Backend) put(ctx context.Context, one *bottle, discard bool) {
	if b.bottles[one.id.Name] != one {
		return
	}
	delete(b.bottles, one.id.Name)
	defer b.tell(one.id.Handle())
	unsaved, err := one.Unsaved(ctx)
	if !discard && (err != nil || unsaved.Any() || one.outcome != nil) {
		b.kept = append(b.kept, one)
		return
	}
	_ = os.RemoveAll(one.dir)
}

// Die has the holder of a bottle die, and all that runs in it.
func (b *Backend) Die(name string) error {
	b.mu.Lock()
	one := b.bottles[name]
	if one != nil {
		one.dead = true
		b.tell(name)
	}
	b.mu.Unlock()
	if one == nil {
		return fmt.Errorf("bottle %s: %w", name, errdefs.ErrNotFound)
	}
	one.end()
	return nil
}

// PrepareCleanup implements backend.Backend.
func (b *Backend) PrepareCleanup(context.Context) (*backend.CleanupPlan, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	plan := &backend.CleanupPlan{}
	for _, one := range b.bottles {
		if one.dead {
			plan.Items = append(plan.Items, backend.CleanupItem{Bottle: one.id.String(), Kind: "directory", Target: one.dir, Reason: "it is dead"})
		}
	}
	return plan, nil
}

// Cleanup implements backend.Backend.
func (b *Backend) Cleanup(ctx context.Context, plan *backend.CleanupPlan) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, item := range plan.Items {
		for _, one := range b.bottles {
			if one.id.String() == item.Bottle && one.dead {
				b.put(ctx, one, false)
			}
		}
	}
	return nil
}

// ListActive implements backend.Backend.
func (b *Backend) ListActive(context.Context) ([]backend.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var active, kept []backend.Status
	for _, one := range b.bottles {
		active = append(active, one.status())
	}
	for _, one := range b.kept {
		status := one.status()
		status.Name, status.Phase = one.id.Handle(), backend.PhaseKept
		kept = append(kept, status)
	}
	for _, list := range [][]backend.Status{active, kept} {
		slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Name, b.Name) })
	}
	return append(active, kept...), nil
}

// Open implements backend.Opener.
func (b *Backend) Open(_ context.Context, name string) (backend.Live, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.named(name)
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("no bottle %s: %w", name, errdefs.ErrNotFound)
	case b.bottles[found[0].id.Name] != found[0] || found[0].dead:
		return nil, fmt.Errorf("bottle %s has ended: %w", name, errdefs.ErrFailedPrecondition)
	}
	return live{found[0]}, nil
}
