package remote

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Supervisor connects to the supervisor of a running bottle, as its owner. The caller
// closes the client.
func (c *Client) Supervisor(ctx context.Context, name string) (*backend.Work, *supervise.Client, error) {
	found, err := c.Find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.reach(ctx, found.ID.Handle())
	return found, client, err
}

func (c *Client) reach(ctx context.Context, name string) (*supervise.Client, error) {
	stream, err := c.request(ctx, kindReach, named{name})
	if err != nil {
		return nil, err
	}
	return supervise.NewClient(stream)
}

// reachTime bounds the wait for a controller that is started again.
const reachTime = time.Minute

// Open implements backend.Opener.
func (c *Client) Open(ctx context.Context, name string) (backend.Live, error) {
	found, client, err := c.Supervisor(ctx, name)
	if err != nil {
		return nil, err
	}
	return supervise.NewLive(found.ID, client, live{c, found.ID.Handle()}, reachTime), nil
}

// live is a bottle whose supervisor, or whose controller, may be another one by and by.
type live struct {
	client *Client
	handle string
}

// Again implements supervise.Reacher.
func (l live) Again(ctx context.Context) (*supervise.Client, error) {
	return l.client.reach(ctx, l.handle)
}

// Over implements supervise.Reacher.
func (l live) Over(ctx context.Context) bool {
	found, err := l.client.Find(ctx, l.handle)
	return errdefs.IsNotFound(err) || err == nil && !found.Running
}

// Pack writes files of a kept bottle as a tar stream. No error says that the stream is
// whole.
func (c *Client) Pack(ctx context.Context, work *backend.Work, path string, out io.Writer) error {
	return c.transfer(ctx, kindPack, keptFiles{Name: work.ID.Handle(), Path: path}, neck.SessionIO{Out: out, Err: io.Discard})
}

// Unpack makes files in a kept bottle of the tar stream: all of them or none.
func (c *Client) Unpack(ctx context.Context, work *backend.Work, files neck.FilesRequest, in io.Reader) error {
	asked := keptFiles{Name: work.ID.Handle(), Path: files.Path, As: files.Name, Bytes: files.Bytes, Entries: files.Entries}
	return c.transfer(ctx, kindUnpack, asked, neck.SessionIO{In: in, Out: io.Discard, Err: io.Discard})
}

// transfer carries a request whose stream is that of a session.
func (c *Client) transfer(ctx context.Context, kind neck.Kind, body any, ends neck.SessionIO) error {
	stream, err := c.request(ctx, kind, body)
	if err != nil {
		return err
	}
	return attach(ctx, stream, ends)
}

// attach connects both ends of a session's stream, to its end.
func attach(ctx context.Context, stream neck.Stream, ends neck.SessionIO) error {
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	status, err := neck.Attach(ctx, stream, ends)
	if err == nil && status.Code != 0 {
		err = fmt.Errorf("the controller ends with code %d: %w", status.Code, errdefs.ErrUnknown)
	}
	return err
}
