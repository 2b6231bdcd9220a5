package containerd

import (
	"context"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
)

var (
	_ backend.Pristiner = (*Backend)(nil)
	_ backend.Lister    = (*inside)(nil)
)

// List implements backend.Lister.
func (i *inside) List(ctx context.Context, w io.Writer) error {
	if err := i.supervisor.List(ctx, w); err != nil {
		return fmt.Errorf("list the root file system: %w", err)
	}
	return nil
}
