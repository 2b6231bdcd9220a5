package containerd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// Orphans lists the state on disk that is not as it should be, and says why: what was
// kept of a bottle whose plan or baseline can't be read, what other daemons or
// namespaces have kept below the same root, and what no bottle has made.
func (b *Backend) Orphans(ctx context.Context) ([]backend.Status, error) {
	active, err := b.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	var list []backend.Status
	for _, status := range active {
		id, err := backend.ParseID(status.ID)
		if err != nil || status.Phase != backend.PhaseKept {
			continue
		}
		if err := checkKept(b.layout.bottle(id)); err != nil {
			status.Message = err.Error()
			list = append(list, status)
		}
	}
	strange, err := b.strangers()
	if err != nil {
		return nil, err
	}
	elsewhere, err := b.elsewhere()
	return slices.Concat(list, strange, elsewhere), err
}

// checkKept reads what a kept bottle is known by.
func checkKept(where places) error {
	if err := checkState(where); err != nil {
		return err
	}
	_, planErr := readPlan(where)
	_, err := ledger.Read(where.work(), backend.StateBaseline)
	if unready, there := exists(where.unready()); there == nil && unready && errors.Is(err, fs.ErrNotExist) {
		err = nil // claude never ran
	}
	return errors.Join(planErr, err)
}

// strangers are what lies among the bottles and is none.
func (b *Backend) strangers() ([]backend.Status, error) {
	entries, err := os.ReadDir(b.layout.bottles())
	if err != nil {
		return nil, fmt.Errorf("list bottles: %w", err)
	}
	var list []backend.Status
	for _, entry := range entries {
		id, err := backend.ParseID(entry.Name())
		if err == nil {
			_, err = hostID(id)
		}
		if err == nil {
			continue
		}
		list = append(list, stray(filepath.Join(b.layout.bottles(), entry.Name()), "no bottle has made it: "+err.Error()))
	}
	return list, nil
}

// elsewhere are the bottles of other daemons and namespaces.
func (b *Backend) elsewhere() ([]backend.Status, error) {
	found, err := filepath.Glob(filepath.Join(filepath.Dir(b.layout.root), "*", "bottles", "*"))
	if err != nil {
		return nil, fmt.Errorf("list other bottles: %w", err)
	}
	var list []backend.Status
	for _, path := range found {
		if filepath.Dir(path) == b.layout.bottles() {
			continue
		}
		list = append(list, stray(path, "it is of another containerd socket or namespace"+ofWhom(path)))
	}
	slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Workspace, b.Workspace) })
	return list, nil
}

// stray is a directory of no bottle that this backend knows.
func stray(path, why string) backend.Status {
	status := backend.Status{Name: filepath.Base(path), Phase: backend.PhaseKept, Workspace: filepath.Join(path, string(backend.PlaceWorkspace)), Message: why}
	if info, err := os.Lstat(path); err == nil {
		status.Created = info.ModTime()
	}
	return status
}

// ofWhom says by which flags a bottle of another daemon is reached.
func ofWhom(path string) string {
	file, err := os.Open(filepath.Join(path, backend.StatePlan))
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	var read struct {
		Detail Detail `json:"detail"`
	}
	if err := json.NewDecoder(io.LimitReader(file, maxPlan)).Decode(&read); err != nil || read.Detail.Address == "" {
		return ""
	}
	return fmt.Sprintf(": --address %s --namespace %s", read.Detail.Address, read.Detail.Namespace)
}
