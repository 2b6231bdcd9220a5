package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Declarer = (*Client)(nil)

// Declare implements backend.Declarer, for what apply declares.
func (c *Client) Declare(ctx context.Context, name string, declaration backend.Declaration) error {
	if len(declaration.Object) == 0 {
		return notOffered("declaring anything but a resource")
	}
	var answer struct{}
	return c.ask(ctx, kindDeclare, declaring{Name: name, Object: declaration.Object, Generation: declaration.Generation}, &answer)
}

// Measure says what the user's bottles take that run, by their IDs.
func (c *Client) Measure(ctx context.Context) (map[string]supervise.Measured, error) {
	var found map[string]supervise.Measured
	return found, c.ask(ctx, kindMeasure, struct{}{}, &found)
}

// declare compares what is declared now with what was, as the client has done: what can't
// change is not changed here either.
func (c *connection) declare(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked declaring
	if err := decode(body, &asked); err != nil {
		return err
	}
	now, err := resources.Given(asked.Object)
	if err != nil {
		return err
	}
	found, err := c.user.backend.Find(ctx, asked.Name)
	if err != nil {
		return err
	}
	was := resources.Applied(found.Declaration)
	if was == nil || was.Name != now.Name {
		return fmt.Errorf("no apply has declared %s as %s: %w", backend.Printable(asked.Name), backend.Printable(now.Name), errdefs.ErrFailedPrecondition)
	}
	change, err := resources.Compare(was, now, found.Declaration)
	switch {
	case err != nil:
		return err
	case change.Unchanged:
		return say(stream, struct{}{})
	case change.Declaration.Generation != asked.Generation:
		return fmt.Errorf("it was changed meanwhile, to generation %d: look at it again: %w", found.Declaration.Generation, errdefs.ErrConflict)
	}
	if err := c.user.backend.Declare(ctx, found.Handle(), change.Declaration); err != nil {
		return err
	}
	return say(stream, struct{}{})
}

// measure looks at the bottles that are this user's, and no others.
func (c *connection) measure(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked struct{}
	if err := decode(body, &asked); err != nil {
		return err
	}
	list, err := c.user.backend.ListActive(ctx)
	if err != nil {
		return err
	}
	running := slices.DeleteFunc(list, func(status backend.Status) bool { return !status.Lives() })
	return say(stream, c.measured(ctx, running))
}

// measured looks at bottles as one who has looked before.
func (c *connection) measured(ctx context.Context, running []backend.Status) map[string]supervise.Measured {
	c.measuring.Lock()
	defer c.measuring.Unlock()
	if c.measurer == nil {
		c.measurer = supervise.NewMeasurer(c.user.backend)
	}
	return c.measurer.Measure(ctx, running)
}
