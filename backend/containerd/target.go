package containerd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// hostTarget extracts into the directories that are bound into the bottle.
type hostTarget struct {
	places places
	user   user
}

var _ backend.Target = hostTarget{}

// Extract implements backend.Target.
func (t hostTarget) Extract(ctx context.Context, place backend.Place, tar io.Reader) error {
	if place.Path() == "" {
		return fmt.Errorf("extract into %q: no such place: %w", place, errdefs.ErrInvalidArgument)
	}
	dir, err := os.Open(t.places.place(place))
	if err != nil {
		return fmt.Errorf("open place: %w", err)
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, tar, archive.Options{UID: int(t.user.host), GID: int(t.user.host)})
	return err
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
	if err := os.Remove(where.unready()); err != nil {
		return err
	}
	return syncDirectory(where.state)
}

// writePlan keeps the plan beside the bottle's work.
func writePlan(where places, plan *backend.Plan) error {
	return writeFile(where.plan(), func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(plan)
	})
}

// writeFile makes a file whole or not at all, also through a power cut: under
// another name first, and on the disk before it gets its own.
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
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory puts the names in a directory on the disk.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
