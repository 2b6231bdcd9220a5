package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// maxPlan bounds how much of a plan on disk is read, in bytes.
const maxPlan = 16 << 20

// idOf is the id of the bottle that a record is of. The key of its snapshot says
// the same as its label, so that a label that was spoilt is no loss.
func idOf(record runtime.Record) (backend.ID, error) {
	for _, text := range []string{record.Labels[backend.LabelID], record.SnapshotKey} {
		id, err := backend.ParseID(text)
		if err != nil || id.Name != record.Name {
			continue
		}
		if _, err := hostID(id); err == nil {
			return id, nil
		}
	}
	return backend.ID{}, fmt.Errorf("record %s names no bottle id, neither in its label (%s) nor by its snapshot: claude-bottle leaves it alone: %w",
		record.Name, backend.Printable(record.Labels[backend.LabelID]), errdefs.ErrFailedPrecondition)
}

// belongs says whether the record is of the bottle with this id.
func belongs(record runtime.Record, id backend.ID) bool {
	of, err := idOf(record)
	return err == nil && of == id
}

// checkRecord refuses to change what another version of the program has made: a
// FailedPrecondition error.
func checkRecord(record runtime.Record) error {
	version := record.Labels[backend.LabelVersion]
	if version == backend.RecordVersion {
		return nil
	}
	return fmt.Errorf("record %s is of version %s: this program knows %s and leaves it alone, use the one that made it: %w",
		record.Name, backend.Printable(version), backend.RecordVersion, errdefs.ErrFailedPrecondition)
}

// checkState is checkRecord for the directory of a bottle whose record is gone.
// A plan that can't be read says nothing: the baseline guards the work.
func checkState(where places) error {
	file, err := os.Open(where.plan())
	if err != nil {
		return nil //nolint:nilerr // as good as garbage
	}
	defer func() { _ = file.Close() }()
	var plan struct {
		Version int `json:"version"`
	}
	if err := json.NewDecoder(io.LimitReader(file, maxPlan)).Decode(&plan); err != nil || plan.Version == 0 || plan.Version == backend.PlanVersion {
		return nil //nolint:nilerr // as good as garbage
	}
	return fmt.Errorf("state of %s is of version %d: this program knows %d and leaves it alone, use the one that made it: %w",
		where.id, plan.Version, backend.PlanVersion, errdefs.ErrFailedPrecondition)
}

// unsavedWork compares the workspace with what went in. When that can't be told,
// everything is taken for work: what was deleted can't be had back. The error is
// ctx's alone.
func unsavedWork(ctx context.Context, where places) (backend.Unsaved, error) {
	unsaved := backend.Unsaved{Workspace: where.place(backend.PlaceWorkspace), Handle: where.id.Handle()}
	changes, err := changesOf(ctx, where)
	if err == nil {
		unsaved.Changed, unsaved.Paths = changes.Count, changes.Paths
		return unsaved, nil
	}
	if ctx.Err() != nil {
		return unsaved, fmt.Errorf("compare workspace: %w", context.Cause(ctx))
	}
	files, countErr := countFiles(ctx, unsaved.Workspace)
	if countErr == nil && files == 0 {
		return unsaved, nil // there is nothing to lose
	}
	unsaved.Changed, unsaved.Unknown = files, "what has changed can't be told: "+err.Error()
	return unsaved, nil
}

func changesOf(ctx context.Context, where places) (archive.Changes, error) {
	baseline, err := os.Open(where.saved())
	if errors.Is(err, fs.ErrNotExist) {
		baseline, err = os.Open(where.baseline())
	}
	if errors.Is(err, fs.ErrNotExist) {
		if unready, err := exists(where.unready()); err == nil && unready {
			return archive.Changes{}, nil // claude never ran
		}
	}
	if err != nil {
		return archive.Changes{}, fmt.Errorf("open baseline: %w", err)
	}
	defer func() { _ = baseline.Close() }()
	root, err := os.OpenRoot(where.place(backend.PlaceWorkspace))
	if errors.Is(err, fs.ErrNotExist) {
		return archive.Changes{}, nil
	}
	if err != nil {
		return archive.Changes{}, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	return archive.Compare(ctx, root, baseline)
}

// countFiles counts what lies below a directory; one that is not there is empty.
func countFiles(ctx context.Context, path string) (count int, err error) {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = dir.Close() }()
	err = archive.Walk(ctx, dir, func(archive.Entry) error { count++; return nil })
	return count, err
}
