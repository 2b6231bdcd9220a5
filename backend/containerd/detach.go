package containerd

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
)

var _ backend.Detacher = (*bottle)(nil)

// yes is the value of labels that say that something is so.
const yes = "yes"

// Begin implements backend.Detacher.
func (b *bottle) Begin(ctx context.Context, argv []string, tty bool) error {
	return b.claude.Begin(ctx, argv, tty)
}

// Detach implements backend.Detacher. The label comes first: who finds it and no
// supervisor behind the bottle knows that nobody else was to hold it.
func (b *bottle) Detach(ctx context.Context) error {
	if err := b.backend.client.SetLabel(ctx, b.plan.Name, backend.LabelDetached, yes); err != nil {
		return fmt.Errorf("detach from %s: %w", b.plan.Name, err)
	}
	if err := b.supervisor.Detach(ctx); err != nil {
		return fmt.Errorf("detach from %s: %w", b.plan.Name, err)
	}
	b.closing.Do(b.lock.release)
	return nil
}
