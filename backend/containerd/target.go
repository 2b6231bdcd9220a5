package containerd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// hostTarget fills the directories that are bound into the bottle.
type hostTarget struct {
	places places
	user   user
}

var (
	_ backend.Target       = hostTarget{}
	_ provision.TreeTarget = hostTarget{}
)

// Extract implements backend.Target.
func (t hostTarget) Extract(ctx context.Context, place backend.Place, tar io.Reader) error {
	dir, err := t.open(place)
	if err != nil {
		return fmt.Errorf("extract into place: %w", err)
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, tar, t.options())
	return err
}

// CopyTree implements provision.TreeTarget.
func (t hostTarget) CopyTree(ctx context.Context, place backend.Place, from *os.File, options archive.PackOptions) error {
	dir, err := t.open(place)
	if err != nil {
		return fmt.Errorf("copy into place: %w", err)
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Copy(ctx, from, dir, options, t.options())
	return err
}

// open opens a place. The caller closes it.
func (t hostTarget) open(place backend.Place) (*os.File, error) {
	if place.Path() == "" {
		return nil, fmt.Errorf("%q: no such place: %w", place, errdefs.ErrInvalidArgument)
	}
	return os.Open(t.places.place(place))
}

func (t hostTarget) options() archive.Options {
	return archive.Options{UID: int(t.user.host), GID: int(t.user.host)}
}

// writeBaseline notes what the workspace holds before claude comes. From then on
// what differs is work.
func writeBaseline(ctx context.Context, where places) error {
	root, err := os.OpenRoot(where.place(backend.PlaceWorkspace))
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := writeFile(where.baseline(), func(w io.Writer) error { return archive.WriteBaseline(ctx, w, root) }); err != nil {
		return err
	}
	return os.Remove(where.unready())
}

// writePlan keeps the plan beside the bottle's work.
func writePlan(where places, plan *backend.Plan) error {
	return writeFile(where.plan(), func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(plan)
	})
}

// writeFile makes a file whole or not at all: under another name first. Only a
// crash of the host can cut it, and its reader sees that.
func writeFile(path string, write func(io.Writer) error) (err error) {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(temporary)
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	buffered := bufio.NewWriterSize(file, 64<<10)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
