package containerd

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/log"
)

// ListActive implements backend.Backend.
func (b *Backend) ListActive(ctx context.Context) ([]backend.Status, error) {
	records, err := b.client.Records(ctx)
	if err != nil {
		return nil, err
	}
	// One call for all: without an answer, each that it matters for is asked for itself.
	tasks, err := b.client.Tasks(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Debug("list bottles")
	}
	list := make([]backend.Status, 0, len(records))
	known := map[string]bool{}
	for _, record := range records {
		if id, err := idOf(record); err == nil {
			known[id.String()] = true
		}
		list = append(list, b.status(ctx, record, tasks))
	}
	slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Name, b.Name) })
	kept, err := b.kept(ctx, known)
	return append(list, kept...), err
}

// status never fails: what can't be seen is said in the message.
func (b *Backend) status(ctx context.Context, record runtime.Record, tasks map[string]runtime.TaskState) backend.Status {
	status := backend.Status{
		Name:     record.Name,
		ID:       record.Labels[backend.LabelID],
		Agent:    record.Labels[backend.LabelAgent],
		Bottle:   record.Labels[backend.LabelBottle],
		Runtime:  record.Labels[backend.LabelRuntime],
		Reason:   record.Labels[backend.LabelRuntimeReason],
		Image:    record.Labels[backend.LabelImage],
		Plan:     record.Labels[backend.LabelPlan],
		Helps:    record.Labels[backend.LabelHelps],
		Created:  record.CreatedAt,
		Detached: record.Labels[backend.LabelDetached] == yes,
		Foreign:  errors.Join(checkRecord(record), b.layout.checkRoots(record)) != nil,
	}
	if status.Helps != "" {
		status.Message = "a helper that brings the work of " + status.Helps + " home"
	}
	if id, err := idOf(record); err == nil {
		where := b.layout.bottle(id)
		status.ID = id.String()
		status.Workspace, status.Fence = where.place(backend.PlaceWorkspace), where.proof()
		addNotes(&status, where)
	}
	if err := b.layout.checkRoots(record); err != nil {
		status.Phase, status.Message = backend.PhaseStarting, err.Error()
		if phase, err := b.listedPhase(ctx, record.Name, tasks); err == nil && phase == taskRunning {
			status.Phase = backend.PhaseRunning
		}
		return status
	}
	alive, err := b.held(record)
	if err != nil {
		status.Phase, status.Message = backend.PhaseDead, err.Error()
		return status
	}
	phase := taskAbsent
	if alive {
		if phase, err = b.listedPhase(ctx, record.Name, tasks); err != nil {
			status.Message = err.Error()
		}
	}
	if err := checkRecord(record); err != nil {
		status.Message = err.Error()
	} else if !alive {
		status.Message = "nobody holds it: claude-bottle cleanup removes it"
	}
	switch {
	case !alive && b.goesOn(ctx, record):
		status.Phase, status.Message = backend.PhaseRunning, "its supervisor died: the controller, or the next command for it, starts it again"
	case !alive:
		status.Phase = backend.PhaseDead
	case record.Labels[backend.LabelWish] == backend.WishGone:
		status.Phase = backend.PhaseStopping
	case phase == taskRunning:
		status.Phase = backend.PhaseRunning
	default:
		status.Phase = backend.PhaseStarting
	}
	return status
}

// listedPhase takes the phase from the list of tasks. One that isn't there is asked for:
// it may have no task yet, or a shim that hangs.
func (b *Backend) listedPhase(ctx context.Context, name string, tasks map[string]runtime.TaskState) (taskPhase, error) {
	if task, listed := tasks[name]; listed {
		return phaseOf(task), nil
	}
	return b.taskPhase(ctx, name)
}

// kept lists the workspaces of bottles that are gone.
func (b *Backend) kept(ctx context.Context, known map[string]bool) ([]backend.Status, error) {
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
		alive, err := held(where.lock())
		if taken, takenErr := exists(where.taken()); alive && (takenErr != nil || !taken) {
			if is, err := b.isUnrecorded(ctx, where); err == nil && is {
				list = append(list, backend.Status{
					Name: id.Name, ID: id.String(), Phase: backend.PhaseDead, Created: info.ModTime(),
					Workspace: where.place(backend.PlaceWorkspace), Message: unrecordedWords,
				})
			}
			continue // else a start that has no record yet
		}
		if err == nil {
			err = checkState(where)
		}
		status := backend.Status{
			Name: id.Handle(), ID: id.String(), Phase: backend.PhaseKept, Created: info.ModTime(),
			Workspace: where.place(backend.PlaceWorkspace), Fence: where.proof(),
		}
		if plan, err := readPlan(where); err == nil {
			status.Agent, status.Bottle, status.Runtime = plan.Agent, plan.Bottle, plan.Runtime.Name
			status.Image = plan.Image.Pinned()
		}
		if outcome, err := readOutcome(where); err == nil && outcome != nil {
			status.Detached, status.Outcome = true, outcome
			if outcome.WaitsForCredentials() {
				status.Message = outcome.MissingWords(id.Handle())
			}
		}
		if err != nil {
			status.Message = err.Error()
		}
		addNotes(&status, where)
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b backend.Status) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}
