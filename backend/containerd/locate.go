package containerd

import (
	"context"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var _ backend.Locator = (*Backend)(nil)

// Locate implements backend.Locator.
func (b *Backend) Locate(ctx context.Context, name string) (backend.Location, error) {
	list, err := b.ListActive(ctx)
	if err != nil {
		return backend.Location{}, err
	}
	var kept []string
	for _, status := range list {
		if status.Name != name {
			if strings.HasPrefix(status.Name, name+"@") {
				kept = append(kept, status.Name)
			}
			continue
		}
		id, err := backend.ParseID(status.ID)
		if err != nil {
			return backend.Location{}, err
		}
		where := b.layout.bottle(id)
		return backend.Location{Status: status, Run: where.run, State: where.state}, nil
	}
	remedy := "`claude-bottle list` shows what there is"
	if len(kept) > 0 {
		remedy = "it is over, kept of it is " + strings.Join(kept, ", ")
	}
	return backend.Location{}, fmt.Errorf("there is no bottle %s: %s: %w", backend.Printable(name), remedy, errdefs.ErrNotFound)
}
