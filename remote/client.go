package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Client is a backend whose bottles a controller runs for the user of this process. Its
// methods may be called from several goroutines.
type Client struct {
	path     string
	progress backend.Progress

	mu   sync.Mutex
	conn *neck.Conn
}

var (
	_ backend.Backend   = (*Client)(nil)
	_ backend.Keeper    = (*Client)(nil)
	_ backend.Opener    = (*Client)(nil)
	_ backend.Historian = (*Client)(nil)
)

// Dial connects to the controller's socket. The caller closes the client.
func Dial(ctx context.Context, path string, progress backend.Progress) (*Client, error) {
	c := &Client{path: path, progress: progress}
	if _, err := c.link(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Close lets go of the controller. Bottles that were launched, and neither closed nor
// detached, go with that.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.Close()
}

// link is the connection, made anew when the controller was started again.
func (c *Client) link(ctx context.Context) (*neck.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		select {
		case <-c.conn.Done():
		default:
			return c.conn, nil
		}
	}
	conn, err := dial(ctx, c.path)
	if err != nil {
		return nil, err
	}
	linked, err := neck.Client(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var answer hello
	if err := ask(ctx, linked, kindHello, hello{Version: protocolVersion}, &answer); err != nil {
		return nil, errors.Join(fmt.Errorf("greet the controller at %s: %w", c.path, err), linked.Close())
	}
	c.conn = linked
	return linked, nil
}

// dial connects, and sees to it that root is at the other end: secrets go there.
func dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	const setUp = "the administrator serves users by: groupadd claude-bottle; systemctl enable --now claude-bottle-controller; usermod -aG claude-bottle NAME"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s is not open to you: `usermod -aG claude-bottle NAME` lets a user in, from the next login on: %w", path, errdefs.ErrPermissionDenied)
	case err != nil:
		return nil, fmt.Errorf("claude-bottle needs root to reach containerd, or a controller at %s (%w): run it with sudo, or ask for one: %s: %w", path, err, setUp, errdefs.ErrUnavailable)
	}
	if local, ok := conn.(*net.UnixConn); ok {
		if uid, err := supervise.PeerOf(local); err != nil || uid != 0 {
			return nil, errors.Join(fmt.Errorf("%s is not served by root: %w", path, errdefs.ErrPermissionDenied), err, conn.Close())
		}
	}
	return conn, nil
}

// ask asks for something, and reads the answer.
func ask(ctx context.Context, conn *neck.Conn, kind neck.Kind, body, answer any) error {
	stream, err := request(ctx, conn, kind, body)
	if err != nil {
		return err
	}
	return readAnswer(ctx, stream, answer)
}

// readAnswer reads the answer to a request, and closes the stream.
func readAnswer(ctx context.Context, stream neck.Stream, answer any) error {
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewDecoder(io.LimitReader(stream, maxAnswer)).Decode(answer); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("read answer of the controller: %w: %w", err, errdefs.ErrUnavailable)
	}
	return nil
}

func request(ctx context.Context, conn *neck.Conn, kind neck.Kind, body any) (neck.Stream, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return neck.Stream{}, fmt.Errorf("encode request: %w", err)
	}
	return conn.Open(ctx, neck.Request{Kind: kind, Body: data})
}

func (c *Client) ask(ctx context.Context, kind neck.Kind, body, answer any) error {
	conn, err := c.link(ctx)
	if err != nil {
		return err
	}
	return ask(ctx, conn, kind, body, answer)
}

func (c *Client) request(ctx context.Context, kind neck.Kind, body any) (neck.Stream, error) {
	conn, err := c.link(ctx)
	if err != nil {
		return neck.Stream{}, err
	}
	return request(ctx, conn, kind, body)
}

// notOffered is for what only root can do.
func notOffered(what string) error {
	return fmt.Errorf("%s needs root: it is not offered through the controller's socket: %w", what, errdefs.ErrNotImplemented)
}

// ListActive implements backend.Backend.
func (c *Client) ListActive(ctx context.Context) ([]backend.Status, error) {
	var list []backend.Status
	return list, c.ask(ctx, kindList, listing{}, &list)
}

// Examined is ListActive with what is unsaved in each bottle, as far as there is time.
func (c *Client) Examined(ctx context.Context) ([]backend.Status, error) {
	var list []backend.Status
	return list, c.ask(ctx, kindList, listing{Examine: true}, &list)
}

// ExaminedKept is ListActive with what is unsaved in each kept bottle; what was not looked
// at within ten minutes has no Unsaved.
func (c *Client) ExaminedKept(ctx context.Context) ([]backend.Status, error) {
	var list []backend.Status
	return list, c.ask(ctx, kindList, listing{Examine: true, Kept: true}, &list)
}

// PrepareCleanup implements backend.Backend: cleaning up is the controller's own.
func (c *Client) PrepareCleanup(context.Context) (*backend.CleanupPlan, error) {
	return nil, notOffered("cleanup")
}

// Cleanup implements backend.Backend.
func (c *Client) Cleanup(context.Context, *backend.CleanupPlan) error { return notOffered("cleanup") }

// Find implements backend.Keeper. The work has no directory that this process could read.
func (c *Client) Find(ctx context.Context, name string) (*backend.Work, error) {
	return c.askWork(ctx, kindFind, named{name})
}

func (c *Client) askWork(ctx context.Context, kind neck.Kind, body any) (*backend.Work, error) {
	var found backend.Work
	if err := c.ask(ctx, kind, body, &found); err != nil {
		return nil, err
	}
	// Where the work is from is nobody's business but this user's.
	if plan := found.Plan; plan != nil && plan.Workspace == nil && plan.From != nil {
		plan.Workspace = &backend.WorkTree{Path: plan.From.Path, Head: plan.From.Head}
	}
	return &found, nil
}

// Take implements backend.Keeper: the controller takes a bottle for each request.
func (c *Client) Take(context.Context, *backend.Work) (release func(), err error) {
	return func() {}, nil
}

// Remove implements backend.Keeper.
func (c *Client) Remove(ctx context.Context, work *backend.Work) error {
	_, err := c.RemoveKept(ctx, work, true)
	return err
}

// RemoveKept removes a kept bottle, unless it holds unsaved work, which it returns, and
// that is not to be thrown away.
func (c *Client) RemoveKept(ctx context.Context, work *backend.Work, discard bool) (backend.Unsaved, error) {
	var unsaved backend.Unsaved
	return unsaved, c.ask(ctx, kindRemove, removal{Name: work.ID.Handle(), Discard: discard}, &unsaved)
}

// UnsavedOf says what is unsaved in a bottle.
func (c *Client) UnsavedOf(ctx context.Context, work *backend.Work) (backend.Unsaved, error) {
	var unsaved backend.Unsaved
	return unsaved, c.ask(ctx, kindUnsaved, unsavedOf{Name: work.ID.Handle()}, &unsaved)
}

// Events implements backend.Historian.
func (c *Client) Events(ctx context.Context, name string) ([]backend.Event, error) {
	var events []backend.Event
	return events, c.ask(ctx, kindEvents, named{name}, &events)
}

// SessionLog gives what a bottle has said to show, in order. One of which nothing was taken
// down is a NotFound error.
func (c *Client) SessionLog(ctx context.Context, work *backend.Work, show func(supervise.Said) error) error {
	stream, err := c.request(ctx, kindLog, named{work.ID.Handle()})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	decoder := json.NewDecoder(stream)
	for {
		var line logLine
		if err := decoder.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("read log from the controller: %w: %w", err, errdefs.ErrUnavailable)
		}
		switch {
		case line.Failure != nil:
			return line.Failure.Err()
		case line.End:
			return nil
		case line.Said != nil:
			if err := show(*line.Said); err != nil {
				return err
			}
		}
	}
}
