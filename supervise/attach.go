package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// Begin starts claude in a session that goes on without a client.
func (c *Client) Begin(ctx context.Context, request *neck.SessionRequest) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindBegin, Session: request})
	if err != nil {
		return err
	}
	return stream.Close()
}

// Attach carries that session until claude or ctx ends: the end of ctx leaves it as it
// is.
func (c *Client) Attach(ctx context.Context, request neck.AttachRequest, terminal neck.SessionIO) (neck.ExitStatus, error) {
	request.Name = keptSession
	stream, err := c.conn.Open(ctx, neck.Request{Kind: neck.KindAttach, Attach: &request})
	if err != nil {
		return neck.ExitStatus{}, fmt.Errorf("attach: %w", err)
	}
	return neck.Attach(ctx, stream, terminal)
}

// Detach has the bottle live on without this client, which is then closed.
func (c *Client) Detach(ctx context.Context) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindDetach})
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	_ = stream.Close()
	c.Close()
	return nil
}

// Halt ends claude, and returns when the bottle is gone or ctx has ended. A supervisor
// that dies meanwhile is an Unavailable error.
func (c *Client) Halt(ctx context.Context) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindHalt})
	if err != nil {
		return fmt.Errorf("end bottle: %w", err)
	}
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetReadDeadline(time.Now()) })
	defer stop()
	_, err = stream.Read(make([]byte, 1))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("end bottle: %w", context.Cause(ctx))
	default:
		return fmt.Errorf("end bottle: its supervisor ended before the bottle was gone: %w", errdefs.ErrUnavailable)
	}
}

// Forward connects to a port of the bottle's loopback. The caller closes the stream.
func (c *Client) Forward(ctx context.Context, port uint16) (neck.Stream, error) {
	return c.conn.Open(ctx, neck.Request{Kind: neck.KindForward, Port: port})
}
