package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// openedKeeper is an opened backend that keeps work.
type openedKeeper interface {
	closingBackend
	backend.Keeper
}

// openKeeper is openBackend for what is done with the work of bottles. The caller
// closes it.
func (a *application) openKeeper(ctx context.Context, progress backend.Progress) (openedKeeper, error) {
	opened, err := a.openBackend(ctx, progress)
	if err != nil {
		return nil, err
	}
	keeper, err := keeperOf(opened)
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return keeper, nil
}

// keeperOf finds that power of a backend.
func keeperOf(opened closingBackend) (openedKeeper, error) {
	keeper, ok := opened.(openedKeeper)
	if !ok {
		return nil, fmt.Errorf("this backend keeps no work: %w", errdefs.ErrNotImplemented)
	}
	return keeper, nil
}

// holdWork finds the work of a bottle, and keeps everybody else off it when the
// bottle is not running.
func holdWork(ctx context.Context, keeper backend.Keeper, name string) (work *backend.Work, release func(), err error) {
	work, err = keeper.Find(ctx, name)
	if err != nil || work.Running {
		return work, func() {}, err
	}
	release, err = keeper.Take(ctx, work)
	return work, release, err
}
