package supervise

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// Pack writes files of the bottle to out as a tar stream. No error says that the
// stream is whole: what was written before one is worth nothing.
func (c *Client) Pack(ctx context.Context, path string, out io.Writer) error {
	request := neck.Request{Kind: neck.KindPack, Files: &neck.FilesRequest{Path: path}}
	return c.files(ctx, request, neck.SessionIO{Out: out, Err: io.Discard})
}

// Unpack makes files in the bottle of the tar stream: all of them or none. A
// stream whose reading fails is to end ctx. A goroutine that is still reading it
// may outlive the call, until that read returns.
func (c *Client) Unpack(ctx context.Context, files *neck.FilesRequest, in io.Reader) error {
	return c.files(ctx, neck.Request{Kind: neck.KindUnpack, Files: files}, neck.SessionIO{In: in, Out: io.Discard, Err: io.Discard})
}

// List writes to out what the root file system of the bottle holds, as
// archive.ReadListing reads it.
func (c *Client) List(ctx context.Context, out io.Writer) error {
	return c.files(ctx, neck.Request{Kind: neck.KindList}, neck.SessionIO{Out: out, Err: io.Discard})
}

// files carries one such request to its end.
func (c *Client) files(ctx context.Context, request neck.Request, ends neck.SessionIO) error {
	stream, err := c.conn.Open(ctx, request)
	if err != nil {
		return err
	}
	// A PID 1 that is stopped ends nothing by itself.
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	status, err := neck.Attach(ctx, stream, ends)
	if err != nil {
		return err
	}
	if status.Code != 0 {
		return fmt.Errorf("the bottle ends %s with code %d: %w", request.Kind, status.Code, errdefs.ErrUnknown)
	}
	return nil
}
