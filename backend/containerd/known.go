package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/work"
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

// roots are the directories that a bottle of this layout is in.
func (l layout) roots() string { return l.root + ":" + l.runRoot }

// checkRoots refuses to judge a bottle whose lock and state lie elsewhere: it would
// always look dead. A record that doesn't say where is taken for ours.
func (l layout) checkRoots(record runtime.Record) error {
	roots, said := record.Labels[backend.LabelRoots]
	if !said || roots == l.roots() {
		return nil
	}
	return fmt.Errorf("bottle %s is of another --root, --run-root or --address, its directories are %s: this program leaves it alone, use the same flags as it was started with: %w",
		record.Name, backend.Printable(roots), errdefs.ErrFailedPrecondition)
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

// keeps says that the state of a bottle outlives it: something in it is nowhere else,
// it was kept before and has not come to run again, or it was detached.
func keeps(ctx context.Context, where places) (bool, error) {
	for _, mark := range []string{where.resuming(), where.kept(), where.outcome()} {
		if there, err := exists(mark); err != nil || there {
			return there, err
		}
	}
	unsaved, err := unsavedWork(ctx, where)
	return unsaved.Differs(), err
}

// unsavedWork says what is unsaved in a bottle on disk. The error is ctx's alone.
func unsavedWork(ctx context.Context, where places) (backend.Unsaved, error) {
	kept := where.work()
	if never, err := neverRan(where); err == nil && never {
		return backend.Unsaved{Workspace: kept.Place(backend.PlaceWorkspace), Handle: where.id.Handle()}, nil
	}
	return work.Unsaved(ctx, kept)
}

// neverRan says that claude never ran in a bottle: it was cut while it was made.
func neverRan(where places) (bool, error) {
	there, err := exists(where.baseline())
	if err != nil || there {
		return false, err
	}
	return exists(where.unready())
}
