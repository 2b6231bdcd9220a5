package containerd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// Exit codes of ours among claude's, as docker and podman have them.
const (
	exitOurs   = 125
	exitKilled = 128 + int(unix.SIGKILL)
)

// bottle is a running bottle, held by the process that launched it.
type bottle struct {
	backend    *Backend
	plan       *backend.Plan
	places     places
	user       user
	claude     supervise.Claude
	lock       *lock
	supervisor *supervise.Client
	closing    sync.Once
	closed     error
}

var (
	_ backend.Bottle  = (*bottle)(nil)
	_ backend.Unsaver = (*bottle)(nil)
)

// bottle hands what was launched over to the one who owns it from now on.
func (l *launch) bottle() *bottle {
	b := &bottle{backend: l.backend, plan: l.plan, places: l.places, user: l.user, lock: l.lock, supervisor: l.supervisor}
	b.claude = supervise.Claude{
		Supervisor: l.supervisor, Image: l.plan.Image.Reference, Prompt: l.promptPath, Env: l.secrets.Env, Lost: b.whyLost,
	}
	return b
}

// Name implements backend.Bottle.
func (b *bottle) Name() string { return b.plan.Name }

// ExecClaude implements backend.Bottle.
func (b *bottle) ExecClaude(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	return b.claude.Exec(ctx, argv, terminal)
}

// whyLost says what became of a bottle whose session broke off.
func (b *bottle) whyLost(ctx context.Context, cause error) (int, error) {
	if outOfMemory(b.places.id) {
		return exitKilled, fmt.Errorf("the bottle ran out of memory (limit %s): raise resources.memory in the bottle file: %w",
			backend.Bytes(b.plan.Limits.MemoryBytes), errdefs.ErrResourceExhausted)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ended, err := b.backend.client.WaitTask(ctx, b.plan.Name)
	if err != nil {
		return exitOurs, fmt.Errorf("the bottle was lost: %w", errors.Join(cause, err))
	}
	alone := make(chan struct{}) // closed when nobody stays with the sandbox any more
	go func() { defer close(alone); b.supervisor.Wait(ctx) }()
	select {
	case exit, ok := <-ended:
		if ok && exit.Err == nil {
			return exitOurs, fmt.Errorf("the bottle died under claude (its sandbox ended with code %d); its workspace is kept: %w", exit.Code, cause)
		}
	case <-alone:
	}
	return exitOurs, fmt.Errorf("the session with the bottle broke off: %w", cause)
}

// CopyIn implements backend.Bottle.
func (b *bottle) CopyIn(ctx context.Context, hostPath, bottlePath string) error {
	return provision.CopyIn(ctx, hostPath, bottlePath, hostTarget{places: b.places, user: b.user})
}

// Unsaved implements backend.Unsaver.
func (b *bottle) Unsaved(ctx context.Context) (backend.Unsaved, error) {
	b.countCommits(ctx)
	return unsavedWork(ctx, b.places)
}

// Close implements backend.Bottle: it returns once the supervisor has taken the
// teardown over. Without a supervisor it does the work itself.
func (b *bottle) Close(ctx context.Context) error {
	return b.takeDown(ctx, func(ctx context.Context) bool { return b.supervisor.Down(ctx) == nil })
}

// tearDown is Close that waits for the end.
func (b *bottle) tearDown(ctx context.Context) error {
	return b.takeDown(ctx, func(ctx context.Context) bool {
		if b.supervisor.Down(ctx) == nil {
			b.supervisor.Wait(ctx)
		}
		return false // it may have given up: look again
	})
}

// takeDown asks the supervisor first; bySupervisor says whether that is enough.
func (b *bottle) takeDown(ctx context.Context, bySupervisor func(context.Context) bool) error {
	b.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
		defer cancel()
		defer b.lock.release()
		if b.supervisor != nil {
			defer b.supervisor.Close()
			// Marked here, so that the name is free for waiting on from the
			// moment that Close returns.
			if err := b.backend.downward(b.places, false)(ctx, stepMark); err != nil {
				log.G(ctx).WithError(err).Warn("mark record")
			}
			if bySupervisor(ctx) {
				return
			}
		}
		b.closed = b.backend.Down(ctx, b.places.id, b.plan.Discard)
	})
	return b.closed
}
