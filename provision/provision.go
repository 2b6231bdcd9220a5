package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sync/errgroup"
)

// Provisioner puts the planned things into a bottle.
type Provisioner struct {
	// Progress hears how far the working directory is; nil hears nothing.
	Progress backend.Progress
}

var _ backend.Provisioner = Provisioner{}

// TreeTarget is a Target whose places are directories of this host: a tree goes
// there without a stream.
type TreeTarget interface {
	// CopyTree copies the tree below from into the place. Owner and group of
	// every entry become the bottle's.
	CopyTree(ctx context.Context, place backend.Place, from *os.File, options archive.PackOptions) error
}

// Provision implements backend.Provisioner. The small things go in one after the
// other, the working directory beside them.
func (p Provisioner) Provision(ctx context.Context, plan *backend.Plan, target backend.Target) (promptPath string, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for _, input := range plan.Inputs {
			if err := target.Extract(ctx, input.Place, input.Open()); err != nil {
				return fmt.Errorf("provision %s: %w", input.Name, err)
			}
		}
		return nil
	})
	if plan.Workspace != nil {
		group.Go(func() error { return p.workTree(ctx, plan.Workspace, target) })
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	for _, input := range plan.Inputs {
		if input.PromptPath != "" {
			promptPath = input.PromptPath
		}
	}
	return promptPath, nil
}

// workTree copies the working directory: straight where the target can, else as a
// stream.
func (p Provisioner) workTree(ctx context.Context, tree *backend.WorkTree, target backend.Target) error {
	root, err := tree.Root().Open(".")
	if err != nil {
		return fmt.Errorf("provision working directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	options := packOptions(ctx, tree)
	if p.Progress != nil {
		options.Done = func(done int64) { p.Progress.Bytes("copy working directory", done, tree.Bytes) }
	}
	if direct, ok := target.(TreeTarget); ok {
		return direct.CopyTree(ctx, backend.PlaceWorkspace, root, options)
	}
	return stream(ctx, func(w io.Writer) error {
		return archive.Pack(ctx, w, root, options)
	}, target, backend.PlaceWorkspace)
}

// stream runs pack and extract side by side, a pipe between them. The end of
// either ends both; what pack has to say comes first, for it is what made the
// stream end early.
func stream(ctx context.Context, pack func(io.Writer) error, target backend.Target, place backend.Place) error {
	reader, writer, err := archive.Pipe()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = writer.Close() })()
	packed := make(chan error, 1)
	go func() {
		err := pack(writer)
		packed <- errors.Join(err, closed(writer.Close()))
	}()
	err = target.Extract(ctx, place, reader)
	_ = reader.Close() // before the wait: pack must not stand at a full pipe
	packErr := <-packed
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if packErr != nil && !errors.Is(packErr, syscall.EPIPE) {
		return packErr
	}
	return err
}

// closed is no error for a pipe that the end of a context has closed already.
func closed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
