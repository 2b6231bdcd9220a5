package containerd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/log"
)

// Sandbox is one bottle as its supervisor sees it: something to take down.
type Sandbox struct {
	id      backend.ID
	options Options
}

var _ supervise.Layered = (*Sandbox)(nil)

// NewSandbox returns the bottle with this id on the daemon of options. It
// connects when it has something to do.
func NewSandbox(id backend.ID, options Options) *Sandbox { return &Sandbox{id: id, options: options} }

// Down implements supervise.Sandbox. A daemon that is away is waited for until
// ctx ends.
func (s *Sandbox) Down(ctx context.Context, discard bool) error {
	const pause = 500 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := s.down(ctx, discard)
		if err == nil {
			return nil
		}
		log.G(ctx).WithError(err).Warn("take down bottle")
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Layer implements supervise.Layered.
func (s *Sandbox) Layer(ctx context.Context) (string, error) {
	opened, err := New(ctx, s.options)
	if err != nil {
		return "", fmt.Errorf("reach containerd: %w", err)
	}
	defer func() { _ = opened.Close() }()
	return opened.client.Layer(ctx, s.id.String())
}

func (s *Sandbox) down(ctx context.Context, discard bool) error {
	opened, err := New(ctx, s.options)
	if err != nil {
		return fmt.Errorf("reach containerd: %w", err)
	}
	defer func() { _ = opened.Close() }()
	return opened.Down(ctx, s.id, discard)
}
