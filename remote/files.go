package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Bounds of what a client sends, in bytes of a stream: that of keys lies in memory.
const (
	maxWorkspace = 32 << 30
	maxHome      = 1 << 30
	maxSSH       = 4 << 20
	maxUnpacked  = 1 << 20 // entries
)

// bound is how long a stream into a place may be.
func bound(place backend.Place) int64 {
	switch place {
	case backend.PlaceWorkspace:
		return maxWorkspace
	case backend.PlaceSSH:
		return maxSSH
	default:
		return maxHome
	}
}

func (c *connection) extract(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked extraction
	if err := decode(body, &asked); err != nil {
		return err
	}
	one, err := c.filling(asked.Name)
	if err != nil {
		return err
	}
	if asked.Place.Path() == "" {
		return errNothingToFill
	}
	return receive(stream, bound(asked.Place), func(in io.Reader) error { return one.target.Extract(ctx, asked.Place, in) })
}

var errNothingToFill = fmt.Errorf("there is nothing to be filled: %w", errdefs.ErrNotFound)

// filling is a bottle of this connection whose places are there to be filled.
func (c *connection) filling(name string) (*held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.held[name]; one != nil && one.target != nil {
		return one, nil
	}
	return nil, errNothingToFill
}

// receive has take read what a client sends, and says how it went.
func receive(stream neck.Stream, most int64, take func(io.Reader) error) error {
	if err := stream.Accept(); err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	command := neck.NewCommand(stream)
	in := &sent{command: command, left: most}
	err := take(in)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return finish(command, err)
}

func finish(command *neck.Command, err error) error {
	if err != nil {
		_ = command.Fail(err) // one who is gone needs no answer
		return nil
	}
	_ = command.Exit(neck.ExitStatus{})
	return nil
}

// sent is what a client sends as the input of a session.
type sent struct {
	command *neck.Command
	rest    []byte
	ended   bool
	left    int64
}

// Read implements io.Reader.
func (s *sent) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		event, err := s.command.Next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		s.ended, s.rest = event.EOF, event.Input
		if s.left -= int64(len(event.Input)); s.left < 0 {
			return 0, fmt.Errorf("more is sent than goes in: %w", errdefs.ErrResourceExhausted)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// openKept opens files of a kept bottle, which nobody else touches before their release.
func (c *connection) openKept(ctx context.Context, body json.RawMessage) (asked keptFiles, root *os.Root, below string, release func(), err error) {
	if err := decode(body, &asked); err != nil {
		return asked, nil, "", nil, err
	}
	kept, leave, err := c.take(ctx, asked.Name)
	if err != nil {
		return asked, nil, "", nil, err
	}
	if root, below, err = provision.OpenKept(kept, asked.Path); err != nil {
		leave()
		return asked, nil, "", nil, err
	}
	return asked, root, below, func() { _ = root.Close(); leave() }, nil
}

func (c *connection) pack(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	_, root, below, release, err := c.openKept(ctx, body)
	if err != nil {
		return err
	}
	defer release()
	if err := stream.Accept(); err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	command := neck.NewCommand(stream)
	return finish(command, archive.PackPath(ctx, command.Stdout(), root, below))
}

func (c *connection) unpack(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	asked, root, below, release, err := c.openKept(ctx, body)
	if err != nil {
		return err
	}
	defer release()
	caps := archive.CopyCaps(min(max(asked.Bytes, 0), maxWorkspace), min(max(asked.Entries, 0), maxUnpacked))
	return receive(stream, maxWorkspace, func(in io.Reader) error {
		_, err := archive.Deliver(ctx, in, archive.Delivery{
			Files: root, To: below, Name: asked.As, Flush: true, Options: archive.Options{Caps: caps},
		})
		return err
	})
}

func (c *connection) log(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	found, err := c.work(ctx, body)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(stream)
	accepted := false
	accept := func() error {
		if accepted {
			return nil
		}
		accepted = true
		return stream.Accept()
	}
	err = supervise.ReadSessionLog(found.State, func(piece supervise.Said) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := accept(); err != nil {
			return err
		}
		return encoder.Encode(logLine{Said: &piece})
	})
	if err != nil && !accepted {
		if missing(err) {
			err = fmt.Errorf("nothing of it was taken down: %w", errdefs.ErrNotFound)
		}
		return err
	}
	last := logLine{End: true}
	if err != nil {
		last = logLine{Failure: neck.FailureOf(err)}
	}
	if accept() == nil {
		_ = encoder.Encode(last) // one who is gone needs no answer
	}
	_ = stream.Close()
	return nil
}
