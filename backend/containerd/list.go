package containerd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
)

// ListActive implements backend.Backend.
func (b *Backend) ListActive(ctx context.Context) ([]backend.Status, error) {
	records, err := b.client.Records(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]backend.Status, 0, len(records))
	known := map[string]bool{}
	for _, record := range records {
		known[record.Labels[backend.LabelID]] = true
		list = append(list, b.status(ctx, record))
	}
	slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Name, b.Name) })
	kept, err := b.kept(known)
	return append(list, kept...), err
}

// status never fails: what can't be seen is said in the message.
func (b *Backend) status(ctx context.Context, record runtime.Record) backend.Status {
	status := backend.Status{
		Name:    record.Name,
		ID:      record.Labels[backend.LabelID],
		Agent:   record.Labels[backend.LabelAgent],
		Bottle:  record.Labels[backend.LabelBottle],
		Runtime: record.Labels[backend.LabelRuntime],
		Reason:  record.Labels[backend.LabelRuntimeReason],
		Image:   record.Labels[backend.LabelImage],
		Plan:    record.Labels[backend.LabelPlan],
		Created: record.CreatedAt,
	}
	if id, err := backend.ParseID(status.ID); err == nil {
		where := b.layout.bottle(id)
		status.Workspace, status.Fence = where.place(backend.PlaceWorkspace), where.proof()
	}
	if version := record.Labels[backend.LabelVersion]; version != backend.RecordVersion {
		status.Message = fmt.Sprintf("record of version %s: this program knows %s and leaves it alone", version, backend.RecordVersion)
	}
	alive, err := b.held(record)
	if err != nil {
		status.Phase, status.Message = backend.PhaseDead, err.Error()
		return status
	}
	phase, err := b.taskPhase(ctx, record.Name)
	if err != nil {
		status.Message = err.Error()
	}
	switch {
	case !alive:
		status.Phase, status.Message = backend.PhaseDead, "nobody holds it: claude-bottle cleanup removes it"
	case record.Labels[backend.LabelWish] == backend.WishGone:
		status.Phase = backend.PhaseStopping
	case phase == taskRunning:
		status.Phase = backend.PhaseRunning
	default:
		status.Phase = backend.PhaseStarting
	}
	return status
}

// kept lists the workspaces of bottles that are gone.
func (b *Backend) kept(known map[string]bool) ([]backend.Status, error) {
	ids, err := b.layout.ids()
	if err != nil {
		return nil, err
	}
	var list []backend.Status
	for _, id := range ids {
		where := b.layout.bottle(id)
		info, err := os.Stat(where.state)
		if err != nil || known[id.String()] {
			continue
		}
		if alive, err := held(where.lock()); err != nil || alive {
			continue // a start that has no record yet
		}
		list = append(list, backend.Status{
			Name: id.Handle(), ID: id.String(), Phase: backend.PhaseKept, Created: info.ModTime(),
			Workspace: where.place(backend.PlaceWorkspace), Fence: where.proof(),
		})
	}
	slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}
