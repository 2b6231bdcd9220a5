package fake

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var (
	_ backend.Declarer   = (*Backend)(nil)
	_ backend.Reconciler = (*Backend)(nil)
)

// named are the bottles that a name or a handle stands for, kept ones last. The caller holds
// the lock.
func (b *Backend) named(name string) []*bottle {
	base, suffix, _ := strings.Cut(name, "@")
	var found []*bottle
	if one := b.bottles[base]; one != nil && (suffix == "" || suffix == one.id.Suffix) {
		found = append(found, one)
	}
	for _, one := range b.kept {
		if one.id.Name == base && (suffix == "" || suffix == one.id.Suffix) {
			found = append(found, one)
		}
	}
	return found
}

// Declare implements backend.Declarer.
func (b *Backend) Declare(_ context.Context, name string, declaration backend.Declaration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.named(name)
	if len(found) == 0 {
		return fmt.Errorf("no bottle %s: %w", name, errdefs.ErrNotFound)
	}
	if holds := found[0].declared; holds != nil && declaration.Generation != holds.Generation+1 {
		return fmt.Errorf("it was changed meanwhile, to generation %d: %w", holds.Generation, errdefs.ErrConflict)
	}
	found[0].declared = &declaration
	b.note(found[0], backend.EventNormal, "Configured", fmt.Sprintf("generation %d is declared", declaration.Generation))
	return nil
}

// Reconcile implements backend.Reconciler.
func (b *Backend) Reconcile(ctx context.Context, name string) (again time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.named(name) {
		switch {
		case b.bottles[one.id.Name] == one && one.dead:
			b.put(ctx, one, false)
		case b.bottles[one.id.Name] == one:
			// Somebody holds it.
		case one.declared == nil || one.declared.Life.TTLSecondsAfterFinished == nil || one.outcome == nil:
			// It is kept for good.
		default:
			after := time.Duration(*one.declared.Life.TTLSecondsAfterFinished) * time.Second
			if remaining := time.Until(one.outcome.Finished.Add(after)); remaining > 0 {
				again = remaining
				continue
			}
			if unsaved, err := one.Unsaved(ctx); err == nil && !unsaved.Any() {
				b.kept = slices.DeleteFunc(b.kept, func(other *bottle) bool { return other == one })
				_ = os.RemoveAll(one.dir)
			}
		}
	}
	return again, nil
}
