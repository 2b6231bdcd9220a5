package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// viewTime bounds how long the work of a bottle is looked at for one request.
const viewTime = 10 * time.Minute

// maxViews bounds the views that are held for one user: they lie in memory.
const maxViews = 2

// views waits for room for one more view.
func (u *user) views(ctx context.Context) (leave func(), err error) {
	select {
	case u.viewing <- struct{}{}:
		return func() { <-u.viewing }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// known takes down which files of what goes in the user's repository has.
func (c *connection) known(_ context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked named
	if err := decode(body, &asked); err != nil {
		return err
	}
	one, err := c.filling(asked.Name)
	if err != nil {
		return err
	}
	return receive(stream, change.MaxKnown, func(in io.Reader) error {
		known, err := change.ReadKnown(in)
		if err != nil {
			return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if one.bottle == nil { // else it was filled meanwhile, and nobody asks for it any more
			one.known = known
		}
		return nil
	})
}

// view tells what has changed. Contents that went in from the user's repository are not
// among what is told: nobody looks there from here.
func (c *connection) view(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked viewing
	if err := decode(body, &asked); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, viewTime)
	defer cancel()
	leave, err := c.user.views(ctx)
	if err != nil {
		return err
	}
	defer leave()
	view, err := c.openView(ctx, asked)
	if err != nil {
		return err
	}
	defer view.Close()
	if err := stream.Accept(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	_ = view.Tell(ctx, stream) // who breaks off has heard enough
	_ = stream.Close()
	return nil
}

func (c *connection) openView(ctx context.Context, asked viewing) (*change.View, error) {
	found, err := c.user.backend.Find(ctx, asked.Name)
	if err != nil {
		return nil, err
	}
	if asked.Whole {
		if err := ledger.Sync(ctx, found); err != nil {
			return nil, err
		}
	}
	if asked.Against == "" {
		return change.Open(ctx, found)
	}
	other, err := c.user.backend.Find(ctx, asked.Against)
	if err != nil {
		return nil, err
	}
	return change.Against(ctx, found, other)
}

// maxCame bounds what a client says of what is at home, in bytes.
const maxCame = 64 << 20

// came notes what is at home by now.
func (c *connection) came(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked named
	if err := decode(body, &asked); err != nil {
		return err
	}
	leave, err := c.user.views(ctx)
	if err != nil {
		return err
	}
	defer leave()
	found, release, err := c.findOrTake(ctx, asked.Name)
	if err != nil {
		return err
	}
	defer release()
	return receive(stream, maxCame, func(in io.Reader) error {
		var states []change.State
		if err := decodeAll(in, &states); err != nil {
			return err
		}
		return change.Settle(ctx, found, states)
	})
}

// cut is a stream that is read no more once it is closed.
type cut struct{ neck.Stream }

// Close implements io.Closer.
func (c cut) Close() error { return errors.Join(c.Stream.Close(), c.SetDeadline(time.Now())) }

// View is what differs in the work of a bottle from what went in, or from the work of
// another one, which is compared with it. whole counts what was written through mappings,
// too.
func (c *Client) View(ctx context.Context, work, against *backend.Work, whole bool) (*change.View, error) {
	asked := viewing{Name: work.ID.Handle(), Whole: whole}
	of := work
	if against != nil {
		asked.Against, of = against.ID.Handle(), against
	}
	stream, err := c.request(ctx, kindView, asked)
	if err != nil {
		return nil, err
	}
	return change.Hear(ctx, of, cut{stream}, func(ctx context.Context, states []change.State) error {
		read, write := io.Pipe()
		go func() { _ = write.CloseWithError(json.NewEncoder(write).Encode(states)) }()
		defer func() { _ = read.Close() }()
		return c.transfer(ctx, kindCame, named{work.ID.Handle()}, neck.SessionIO{In: read, Out: io.Discard, Err: io.Discard})
	})
}
