package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/ledger"
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

// KeepBase keeps what has gone into the workspace, for those who ask later what has
// changed.
func (t hostTarget) KeepBase(ctx context.Context, known change.Known) error {
	return change.KeepBase(ctx, t.places.work(), known)
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

// writeBaseline notes what the workspace holds before claude comes: then the bottle is
// ready.
func writeBaseline(ctx context.Context, where places) error {
	if err := ledger.Begin(ctx, where.work()); err != nil {
		return err
	}
	if err := os.Remove(where.unready()); err != nil {
		return err
	}
	return ledger.SyncDirectory(where.state)
}

// writePlan keeps the plan beside the bottle's work.
func writePlan(where places, plan *backend.Plan) error {
	return ledger.WriteFile(where.plan(), func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(plan)
	})
}
