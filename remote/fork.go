package remote

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// forker is a backend that copies what a bottle has made.
type forker interface {
	Fork(ctx context.Context, of *backend.Work, name string) (*backend.Work, error)
}

// fork makes a kept bottle from the work of another of the same user.
func (c *connection) fork(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked forking
	if err := decode(body, &asked); err != nil {
		return err
	}
	made, err := c.forkOf(ctx, asked)
	if err != nil {
		return err
	}
	made.State = ""
	return say(stream, made)
}

func (c *connection) forkOf(ctx context.Context, asked forking) (*backend.Work, error) {
	if err := backend.ValidateName("bottle", asked.As); err != nil {
		return nil, err
	}
	forks, ok := c.user.backend.(forker)
	if !ok {
		return nil, fmt.Errorf("this backend copies no bottles: %w", errdefs.ErrNotImplemented)
	}
	found, release, err := c.findOrTake(ctx, asked.Name)
	if err != nil {
		return nil, err
	}
	defer release()
	// One at a time, so that no two make the last one that may be kept.
	c.user.forking.Lock()
	defer c.user.forking.Unlock()
	list, err := c.user.backend.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	if err := keepsNoMore(list); err != nil {
		return nil, err
	}
	return forks.Fork(ctx, found, asked.As)
}

// Fork makes a kept bottle of that name from the work of another.
func (c *Client) Fork(ctx context.Context, of *backend.Work, name string) (*backend.Work, error) {
	return c.askWork(ctx, kindFork, forking{Name: of.ID.Handle(), As: name})
}
