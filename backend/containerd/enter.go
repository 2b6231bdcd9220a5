package containerd

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
)

var _ backend.Keeper = (*Backend)(nil)

// inside is a way into a bottle, or into a helper of one.
type inside struct {
	image      string
	supervisor *supervise.Client
	leave      func(context.Context) error
	leaving    sync.Once
	left       error
}

var _ backend.Inside = (*inside)(nil)

// Enter implements backend.Keeper.
func (b *Backend) Enter(ctx context.Context, work *backend.Work) (backend.Inside, error) {
	if !work.Running {
		return b.enterKept(ctx, work)
	}
	client, err := supervise.Connect(ctx, b.layout.bottle(work.ID).run)
	if err != nil {
		return nil, fmt.Errorf("%s has ended meanwhile, try again: %w", work.Handle(), err)
	}
	entered := &inside{supervisor: client, leave: func(context.Context) error { client.Close(); return nil }}
	if work.Plan != nil {
		entered.image = work.Plan.Image.Reference
	}
	return entered, nil
}

// enterKept keeps everybody else off the work until the helper is gone.
func (b *Backend) enterKept(ctx context.Context, work *backend.Work) (backend.Inside, error) {
	taken, release, err := b.take(ctx, work)
	if err != nil {
		return nil, err
	}
	helper, err := b.help(ctx, work, &helping{id: work.ID, workspace: work.Place(backend.PlaceWorkspace), held: taken.file})
	if err != nil {
		release()
		return nil, err
	}
	entered := b.insideOf(helper)
	leave := entered.leave
	entered.leave = func(ctx context.Context) error {
		defer release()
		return leave(ctx)
	}
	return entered, nil
}

// Pristine brings up a bottle of the image that did this work, as it was before
// anything ran in it, with an empty workspace. The caller closes it.
func (b *Backend) Pristine(ctx context.Context, work *backend.Work) (backend.Inside, error) {
	helper, err := b.help(ctx, work, &helping{id: work.ID})
	if err != nil {
		return nil, err
	}
	return b.insideOf(helper), nil
}

func (b *Backend) insideOf(helper *bottle) *inside {
	return &inside{image: helper.plan.Image.Reference, supervisor: helper.supervisor, leave: helper.tearDown}
}

// Exec implements backend.Inside.
func (i *inside) Exec(ctx context.Context, argv, env []string, terminal backend.Terminal) (int, error) {
	return i.supervisor.Exec(ctx, i.image, &neck.SessionRequest{
		Argv: argv, Env: slices.Concat(provision.Basics(), env), Dir: backend.WorkspacePath, TTY: terminal.TTY,
	}, terminal)
}

// Supervisor is that of the bottle, or of the helper. It is closed by Close.
func (i *inside) Supervisor() *supervise.Client { return i.supervisor }

// Close implements backend.Inside.
func (i *inside) Close(ctx context.Context) error {
	i.leaving.Do(func() { i.left = i.leave(ctx) })
	return i.left
}
