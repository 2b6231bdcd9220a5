package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Sandbox is one bottle as its supervisor sees it: something to take down.
type Sandbox struct {
	id      backend.ID
	options Options
}

var (
	_ supervise.Layered   = (*Sandbox)(nil)
	_ supervise.Forgetful = (*Sandbox)(nil)
)

// NewSandbox returns the bottle with this id on the daemon of options. It
// connects when it has something to do.
func NewSandbox(id backend.ID, options Options) *Sandbox { return &Sandbox{id: id, options: options} }

// Down implements supervise.Sandbox. A daemon that is away is waited for until
// ctx ends, or for a moment once hurried is closed.
func (s *Sandbox) Down(ctx context.Context, discard bool, hurried <-chan struct{}) error {
	const pause = 500 * time.Millisecond
	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel(nil)
	group.Go(func() {
		select {
		case <-hurried:
			s.endWithDaemon(ctx, cancel)
		case <-ctx.Done():
		}
	})
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

// endWithDaemon cancels once nobody listens for the daemon, and nobody has come back a
// moment later. It returns when ctx ends.
func (s *Sandbox) endWithDaemon(ctx context.Context, cancel context.CancelCauseFunc) {
	const pause, patience = 100 * time.Millisecond, 2 * time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	seen := time.Now()
	for {
		if runtime.Listening(s.options.Address) {
			seen = time.Now()
		}
		if time.Since(seen) > patience {
			cancel(fmt.Errorf("containerd at %s has ended, and so does this supervisor; what is left is for `claude-bottle cleanup`, or for a controller: %w", s.options.Address, errdefs.ErrUnavailable))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Missing implements supervise.Forgetful.
func (s *Sandbox) Missing() []string {
	options := s.options.withDefaults()
	plan, err := readPlan(newLayout(options.Root, options.RunRoot, options.Address, options.Namespace).bottle(s.id))
	if err != nil {
		return nil // the bottle is kept, whatever it had
	}
	home, _ := os.UserHomeDir() // without one what lies below it can't be read
	return supervise.Missing(plan, home)
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
