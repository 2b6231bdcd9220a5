package remote

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
)

func (c *connection) remove(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked removal
	if err := decode(body, &asked); err != nil {
		return err
	}
	unsaved, err := c.removeKept(ctx, asked)
	if err != nil {
		return err
	}
	unsaved.Workspace = ""
	return say(stream, unsaved)
}

func (c *connection) removeKept(ctx context.Context, asked removal) (backend.Unsaved, error) {
	kept, release, err := c.take(ctx, asked.Name)
	if err != nil {
		return backend.Unsaved{}, err
	}
	defer release()
	if !asked.Discard {
		unsaved, err := work.Unsaved(ctx, kept)
		if err != nil || unsaved.Any() {
			return unsaved, err
		}
	}
	return backend.Unsaved{}, c.user.backend.Remove(ctx, kept)
}

// take finds a kept bottle, and keeps everybody else off it.
func (c *connection) take(ctx context.Context, name string) (*backend.Work, func(), error) {
	kept, release, err := c.findOrTake(ctx, name)
	if err == nil && kept.Running {
		return nil, nil, fmt.Errorf("bottle %s runs: end it first: %w", kept.ID.Name, errdefs.ErrConflict)
	}
	return kept, release, err
}

// findOrTake finds a bottle, and keeps everybody else off one that is kept: whoever works in one
// that runs goes on.
func (c *connection) findOrTake(ctx context.Context, name string) (*backend.Work, func(), error) {
	found, err := c.user.backend.Find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if found.Running {
		return found, func() {}, nil
	}
	release, err := c.user.backend.Take(ctx, found)
	return found, release, err
}
