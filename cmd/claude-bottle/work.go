package main

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// finder is the part of backend.Keeper by which work is found and held.
type finder interface {
	Find(ctx context.Context, name string) (*backend.Work, error)
	Take(ctx context.Context, work *backend.Work) (release func(), err error)
}

// finderOf says whether a backend keeps work.
func finderOf(opened backend.Backend) (finder, error) {
	keeper, ok := opened.(finder)
	if !ok {
		return nil, fmt.Errorf("this backend keeps no work: %w", errdefs.ErrNotImplemented)
	}
	return keeper, nil
}

// holdWork finds the work of a bottle, and keeps everybody else off it when the
// bottle is not running.
func holdWork(ctx context.Context, keeper finder, name string) (work *backend.Work, release func(), err error) {
	work, err = keeper.Find(ctx, name)
	if err != nil || work.Running {
		return work, func() {}, err
	}
	release, err = keeper.Take(ctx, work)
	return work, release, err
}
