package supervise

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/claude-bottle/claude-bottle/neck"
)

// Client is the other end of a supervisor's control stream.
type Client struct {
	conn  *neck.Conn
	ended chan struct{} // closed when the process that we started has ended
	// killed says that a signal has ended it; to be read once it has ended.
	killed bool
}

// NewClient returns a client of the supervisor at the other end of the connection, or of
// who stands between. The client owns the connection.
func NewClient(conn net.Conn) (*Client, error) { return newClient(conn) }

func newClient(conn net.Conn) (*Client, error) {
	client, err := neck.Client(conn)
	if err != nil {
		return nil, fmt.Errorf("open control stream: %w", err)
	}
	return &Client{conn: client, ended: make(chan struct{})}, nil
}

// Relay opens a stream for the request of another client. The caller closes it.
func (c *Client) Relay(ctx context.Context, request neck.Request) (neck.Stream, error) {
	return c.conn.Open(ctx, request)
}

// Ready returns once the bottle's PID 1 has opened the neck.
func (c *Client) Ready(ctx context.Context) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindReady})
	if err != nil {
		return fmt.Errorf("wait for the neck: %w", err)
	}
	return stream.Close()
}

// Session runs a command in the bottle and returns how it ended.
func (c *Client) Session(ctx context.Context, request *neck.SessionRequest, terminal neck.SessionIO) (neck.ExitStatus, error) {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: neck.KindSession, Session: request})
	if err != nil {
		return neck.ExitStatus{}, fmt.Errorf("open session: %w", err)
	}
	return neck.Attach(ctx, stream, terminal)
}

// Outfitted says that what the bottle makes from now on is to be kept.
func (c *Client) Outfitted(ctx context.Context) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindOutfitted})
	if err != nil {
		return fmt.Errorf("end the setup: %w", err)
	}
	return stream.Close()
}

// Down asks for the end of the bottle and returns once the supervisor has taken
// that over.
func (c *Client) Down(ctx context.Context) error {
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindDown})
	if err != nil {
		return fmt.Errorf("ask for teardown: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, stream)
		_ = stream.Close()
	}()
	return nil
}

// Wait returns when the supervisor has ended, or ctx has.
func (c *Client) Wait(ctx context.Context) {
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}

// Killed waits for the end of a supervisor that this process has started, or that of ctx,
// and says whether somebody has killed it: it has not ended by itself.
func (c *Client) Killed(ctx context.Context) bool {
	select {
	case <-c.ended:
		return c.killed
	case <-ctx.Done():
		return false
	}
}

// Gone is closed when the supervisor can't be spoken to any more.
func (c *Client) Gone() <-chan struct{} { return c.conn.Done() }

// Close lets go of the supervisor, which then takes the bottle down.
func (c *Client) Close() { _ = c.conn.Close() }
