package containerd

import (
	"context"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
)

var _ backend.Outfitter = (*bottle)(nil)

// Outfit implements backend.Outfitter.
func (b *bottle) Outfit(ctx context.Context, command backend.SetupCommand, out io.Writer) (int, error) {
	return b.claude.Outfit(ctx, command, out)
}

// Outfitted implements backend.Outfitter.
func (b *bottle) Outfitted(ctx context.Context) error { return b.supervisor.Outfitted(ctx) }
