package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var (
	_ backend.Pristiner = (*Client)(nil)
	_ backend.Lister    = (*inside)(nil)
	_ fetch.Books       = (*inside)(nil)
)

// Enter implements backend.Keeper. What it returns is fetch.Books, too.
func (c *Client) Enter(ctx context.Context, work *backend.Work) (backend.Inside, error) {
	return c.enter(ctx, work, false)
}

// Pristine implements backend.Pristiner.
func (c *Client) Pristine(ctx context.Context, work *backend.Work) (backend.Inside, error) {
	return c.enter(ctx, work, true)
}

func (c *Client) enter(ctx context.Context, work *backend.Work, pristine bool) (backend.Inside, error) {
	stream, err := c.request(ctx, kindEnter, entering{Name: work.ID.Handle(), Pristine: pristine})
	if err != nil {
		return nil, err
	}
	client, err := supervise.NewClient(stream)
	if err != nil {
		return nil, err
	}
	entered := &inside{supervisor: client}
	if work.Plan != nil {
		entered.image = work.Plan.Image.Reference
	}
	return entered, nil
}

// inside is a way into a bottle, or into a helper of one.
type inside struct {
	image      string
	supervisor *supervise.Client
	leaving    sync.Once
	left       error
}

// Exec implements backend.Inside.
func (i *inside) Exec(ctx context.Context, argv, env []string, terminal backend.Terminal) (int, error) {
	return i.supervisor.Exec(ctx, i.image, &neck.SessionRequest{
		Argv: argv, Env: slices.Concat(provision.Basics(), env), Dir: backend.WorkspacePath, TTY: terminal.TTY,
	}, terminal)
}

// List implements backend.Lister.
func (i *inside) List(ctx context.Context, w io.Writer) error {
	if err := i.supervisor.List(ctx, w); err != nil {
		return fmt.Errorf("list the root file system: %w", err)
	}
	return nil
}

// Close implements backend.Inside.
func (i *inside) Close(ctx context.Context) error {
	i.leaving.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer cancel()
		var answer struct{}
		i.left = i.ask(ctx, kindLeave, &answer)
		i.supervisor.Close()
	})
	return i.left
}

// Tips implements fetch.Books.
func (i *inside) Tips(ctx context.Context) (map[string]bool, error) {
	var names []string
	if err := i.ask(ctx, kindTips, &names); err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	return known, nil
}

// Mark implements fetch.Books.
func (i *inside) Mark(ctx context.Context) error {
	var answer struct{}
	return i.ask(ctx, kindMark, &answer)
}

func (i *inside) ask(ctx context.Context, kind neck.Kind, answer any) error {
	stream, err := i.supervisor.Relay(ctx, neck.Request{Kind: kind})
	if err != nil {
		return err
	}
	return readAnswer(ctx, stream, answer)
}

// Settle implements fetch.Books.
func (i *inside) Settle(ctx context.Context, home fetch.Home) (fetch.Left, error) {
	said := homecoming{Whole: home.Whole, Objects: home.Objects}
	for path, entry := range home.Tree {
		said.Files = append(said.Files, homeFile{Path: []byte(path), Mode: entry.Mode, Object: entry.Object})
	}
	var left fetch.Left
	data, err := json.Marshal(said)
	if err != nil {
		return left, fmt.Errorf("encode what came home: %w", err)
	}
	stream, err := i.supervisor.Relay(ctx, neck.Request{Kind: kindSettle})
	if err != nil {
		return left, err
	}
	var answer bytes.Buffer
	if err := attach(ctx, stream, neck.SessionIO{In: bytes.NewReader(data), Out: &answer, Err: io.Discard}); err != nil {
		return left, err
	}
	if err := json.Unmarshal(answer.Bytes(), &left); err != nil {
		return left, fmt.Errorf("read answer of the controller: %w: %w", err, errdefs.ErrUnavailable)
	}
	return left, nil
}
