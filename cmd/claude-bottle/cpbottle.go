package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
)

// copied is the bottle's end of a copy.
type copied interface {
	packer(path string) work.Packer
	// unpacker takes a stream to a path. name is what it is called in a directory.
	unpacker(path, name string) func(context.Context, io.Reader) error
	close()
}

// openCopied reaches a running bottle, or takes a kept one.
func (a *application) openCopied(ctx context.Context, name string, options work.CopyOptions) (copied, error) {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = keeper.Close() }()
	locator, ok := keeper.(backend.Locator)
	if !ok {
		return nil, fmt.Errorf("find bottle %s: this backend can't: %w", backend.Printable(name), errdefs.ErrNotImplemented)
	}
	found, release, err := holdWork(ctx, keeper, name)
	if err != nil {
		return nil, err
	}
	if !found.Running {
		return &keptCopied{found, options, release}, nil
	}
	where, err := locator.Locate(ctx, found.ID.Name)
	if err != nil {
		return nil, err
	}
	client, err := supervise.Connect(ctx, where.Run)
	if err != nil {
		return nil, err
	}
	return &runningCopied{client, options}, nil
}

// runningCopied copies by the neck: PID 1 reads and writes, as the agent's user.
type runningCopied struct {
	client  *supervise.Client
	options work.CopyOptions
}

func (r *runningCopied) packer(path string) work.Packer {
	return func(ctx context.Context, w io.Writer) error { return r.client.Pack(ctx, path, w) }
}

func (r *runningCopied) unpacker(path, name string) func(context.Context, io.Reader) error {
	files := &neck.FilesRequest{Path: path, Name: name, Bytes: r.options.Bytes, Entries: r.options.Entries}
	return func(ctx context.Context, stream io.Reader) error { return r.client.Unpack(ctx, files, stream) }
}

func (r *runningCopied) close() { r.client.Close() }

// keptCopied copies from and to the directories on the host. Nothing runs in them,
// and nothing leads out of them.
type keptCopied struct {
	work    *backend.Work
	options work.CopyOptions
	release func()
}

// open opens the place of a path, and returns the path below it.
func (k *keptCopied) open(path string) (*os.Root, string, error) {
	place, below, err := provision.PlaceOf(path)
	if err != nil {
		return nil, "", fmt.Errorf("%w; all else of %s went with its sandbox", err, k.work.Handle())
	}
	if place == backend.PlaceSSH {
		return nil, "", fmt.Errorf("%s went with the sandbox of %s: %w", path, k.work.Handle(), errdefs.ErrNotFound)
	}
	root, err := os.OpenRoot(k.work.Place(place))
	if err != nil {
		return nil, "", fmt.Errorf("open what is kept: %w", err)
	}
	if below == "" {
		below = "."
	}
	if path[len(path)-1] == '/' {
		below += "/"
	}
	return root, below, nil
}

func (k *keptCopied) packer(path string) work.Packer {
	return func(ctx context.Context, w io.Writer) error {
		root, below, err := k.open(path)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		return archive.PackPath(ctx, w, root, below)
	}
}

func (k *keptCopied) unpacker(path, name string) func(context.Context, io.Reader) error {
	return func(ctx context.Context, stream io.Reader) error {
		root, below, err := k.open(path)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		_, err = archive.Deliver(ctx, stream, archive.Delivery{
			Files: root, To: below, Name: name, Flush: true,
			Options: archive.Options{Caps: archive.CopyCaps(k.options.Bytes, k.options.Entries)},
		})
		return err
	}
}

func (k *keptCopied) close() { k.release() }
