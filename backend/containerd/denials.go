package containerd

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
)

var _ backend.Denied = (*bottle)(nil)

// Denials implements backend.Denied.
func (b *bottle) Denials(ctx context.Context) (backend.Denials, error) {
	denials, err := b.supervisor.Denials(ctx)
	if err != nil {
		return denials, fmt.Errorf("ask what was denied: %w", err)
	}
	return denials, nil
}
