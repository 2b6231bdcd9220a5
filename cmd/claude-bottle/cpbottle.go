package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/remote"
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
	if far, ok := keeper.(*remote.Client); ok {
		return openFarCopied(ctx, far, name, options)
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

// openFarCopied is openCopied through a controller. It owns the client.
func openFarCopied(ctx context.Context, far *remote.Client, name string, options work.CopyOptions) (_ copied, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, far.Close())
		}
	}()
	found, err := far.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if !found.Running {
		return &farCopied{far, found, options}, nil
	}
	_, client, err := far.Supervisor(ctx, found.ID.Handle())
	if err != nil {
		return nil, err
	}
	return &farRunningCopied{runningCopied{client, options}, far}, nil
}

// farRunningCopied is a running bottle behind a controller.
type farRunningCopied struct {
	runningCopied

	far *remote.Client
}

func (r *farRunningCopied) close() {
	r.runningCopied.close()
	_ = r.far.Close()
}

// farCopied is a kept bottle behind a controller.
type farCopied struct {
	far     *remote.Client
	work    *backend.Work
	options work.CopyOptions
}

func (f *farCopied) packer(path string) work.Packer {
	return func(ctx context.Context, w io.Writer) error { return f.far.Pack(ctx, f.work, path, w) }
}

func (f *farCopied) unpacker(path, name string) func(context.Context, io.Reader) error {
	files := neck.FilesRequest{Path: path, Name: name, Bytes: f.options.Bytes, Entries: f.options.Entries}
	return func(ctx context.Context, stream io.Reader) error { return f.far.Unpack(ctx, f.work, files, stream) }
}

func (f *farCopied) close() { _ = f.far.Close() }

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

func (k *keptCopied) packer(path string) work.Packer {
	return func(ctx context.Context, w io.Writer) error {
		root, below, err := provision.OpenKept(k.work, path)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		return archive.PackPath(ctx, w, root, below)
	}
}

func (k *keptCopied) unpacker(path, name string) func(context.Context, io.Reader) error {
	return func(ctx context.Context, stream io.Reader) error {
		root, below, err := provision.OpenKept(k.work, path)
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
