package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
)

// kindFollow asks to be told of new lines of the audit log: a byte stands for
// any number of them. The stream ends after the last line of all.
const kindFollow neck.Kind = "follow"

// follow tells one client that there is something new. What it is the client
// reads from the log itself.
func (s *supervisor) follow(ctx context.Context, stream neck.Stream) error {
	changed, stop := s.policy.audit.Watch()
	defer stop()
	if err := stream.Accept(); err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	// The client never writes: a read that returns says that it is gone.
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, stream)
	}()
	for {
		select {
		case <-changed:
			if _, err := stream.Write([]byte{0}); err != nil {
				return err
			}
		case <-gone:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// EgressLog gives every event of a bottle's audit log to show, in order. With a
// client of its supervisor it goes on until the bottle or ctx has ended.
func EgressLog(ctx context.Context, state string, client *Client, show func(egress.Event) error) error {
	var stream neck.Stream
	if client != nil {
		// Asked for before the first look, so that no line is missed.
		var err error
		if stream, err = client.conn.Open(ctx, neck.Request{Kind: kindFollow}); err != nil {
			return fmt.Errorf("follow audit log: %w", err)
		}
		defer func() { _ = stream.Close() }()
		stop := context.AfterFunc(ctx, func() { client.Close() })
		defer stop()
	}
	tail, err := egress.OpenTail(filepath.Join(state, auditLog))
	if err != nil {
		return err
	}
	defer tail.Close()
	news := make([]byte, 64)
	for last := client == nil; ; {
		if err := showAll(tail, show); err != nil || last {
			return err
		}
		_, err := stream.Read(news)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		last = err != nil
	}
}

func showAll(tail *egress.Tail, show func(egress.Event) error) error {
	for {
		event, err := tail.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := show(event); err != nil {
			return err
		}
	}
}

// TailEgressLog opens a bottle's audit log for one who looks at it again and again.
// State is its state directory. The caller closes it.
func TailEgressLog(state string) (*egress.Tail, error) {
	return egress.OpenTail(filepath.Join(state, auditLog))
}
