package containerd

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Opener = (*Backend)(nil)

// Open implements backend.Opener.
func (b *Backend) Open(ctx context.Context, name string) (backend.Live, error) {
	found, client, err := b.Supervisor(ctx, name)
	if err != nil {
		return nil, err
	}
	return supervise.NewLive(found.ID, client, live{b, found.ID.Handle()}, reviveTimeout), nil
}

// Supervisor connects to the supervisor of a running bottle. The caller closes the
// client.
func (b *Backend) Supervisor(ctx context.Context, name string) (*backend.Work, *supervise.Client, error) {
	found, err := b.Find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if !found.Running {
		return nil, nil, fmt.Errorf("bottle %s has ended: `claude-bottle logs %s` shows what was said, `claude-bottle resume %s` goes on: %w",
			name, found.Handle(), found.Handle(), errdefs.ErrFailedPrecondition)
	}
	client, err := supervise.Connect(ctx, b.layout.bottle(found.ID).run)
	if err != nil {
		return nil, nil, fmt.Errorf("bottle %s: %w", name, err)
	}
	return found, client, nil
}

// live is a bottle whose supervisor may be another one by and by.
type live struct {
	backend *Backend
	handle  string
}

// Again implements supervise.Reacher.
func (l live) Again(ctx context.Context) (*supervise.Client, error) {
	_, client, err := l.backend.Supervisor(ctx, l.handle)
	return client, err
}

// Over implements supervise.Reacher.
func (l live) Over(ctx context.Context) bool {
	found, err := l.backend.Find(ctx, l.handle)
	return errdefs.IsNotFound(err) || err == nil && !found.Running
}
