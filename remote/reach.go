package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// missing says that a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// reach makes a link of the stream, to the supervisor of a bottle of this user. What is
// asked on it is passed on as far as it is an owner's to ask: the supervisor itself trusts
// whoever connects.
func (c *connection) reach(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked named
	if err := decode(body, &asked); err != nil {
		return err
	}
	leave, err := c.user.reaches()
	if err != nil {
		return err
	}
	defer leave()
	_, client, err := c.user.backend.Supervisor(ctx, asked.Name)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := stream.Accept(); err != nil {
		return err
	}
	c.serveLink(ctx, stream, func(ctx context.Context, request neck.Request, stream neck.Stream) {
		relay(ctx, client, request, stream)
	})
	return nil
}

// serveLink makes a link of a stream that was accepted, and serves it until it ends. What
// is asked on it counts with all else of the user's.
func (c *connection) serveLink(ctx context.Context, stream neck.Stream, handle func(context.Context, neck.Request, neck.Stream)) {
	link, err := neck.ServerOfStranger(stream)
	if err != nil {
		_ = stream.Close()
		return
	}
	defer func() { _ = link.Close() }()
	_ = link.Serve(ctx, neck.Bounds{Streams: maxRelayed, Request: maxBody, Strict: true, Enter: c.user.stream}, handle)
}

// reaches counts one more link of a user.
func (u *user) reaches() (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reached >= maxReached {
		return nil, fmt.Errorf("%d bottles are reached by you already: %w", u.reached, errdefs.ErrResourceExhausted)
	}
	u.reached++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.reached--
	}, nil
}

func relay(ctx context.Context, client *supervise.Client, request neck.Request, stream neck.Stream) {
	if !supervise.OfOwner(request.Kind) {
		_ = stream.Refuse(fmt.Errorf("%s is not the owner's to ask: %w", backend.Printable(string(request.Kind)), errdefs.ErrPermissionDenied))
		return
	}
	inside, err := client.Relay(ctx, request)
	if err != nil {
		_ = stream.Refuse(err)
		return
	}
	if err := stream.Accept(); err != nil {
		_ = inside.Close()
		return
	}
	// A far end that says nothing must not outlast who has asked.
	stop := context.AfterFunc(ctx, func() { _ = inside.SetDeadline(time.Now()) })
	defer stop()
	neck.Splice(stream, inside)
}
