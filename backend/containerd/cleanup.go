package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// PrepareCleanup implements backend.Backend.
func (b *Backend) PrepareCleanup(ctx context.Context) (*backend.CleanupPlan, error) {
	plan := &backend.CleanupPlan{Items: []backend.CleanupItem{}, Kept: []backend.KeptWorkspace{}}
	ids, err := b.everyID(ctx, plan)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := b.planOne(ctx, b.layout.bottle(id), plan); err != nil {
			return nil, fmt.Errorf("look at %s: %w", id, err)
		}
	}
	if err := b.planBuilds(ctx, plan); err != nil {
		return nil, err
	}
	return plan, b.planController(plan)
}

// planOne adds one bottle to the plan. What it can't make sense of is named and
// kept, and stands in nobody else's way.
func (b *Backend) planOne(ctx context.Context, where places, plan *backend.CleanupPlan) error {
	keep := func(path string, files int, reason string) {
		plan.Kept = append(plan.Kept, backend.KeptWorkspace{Handle: where.id.Handle(), Path: path, Files: files, Reason: reason})
	}
	alive, err := held(where.lock())
	if err != nil {
		keep(where.run, 0, err.Error())
		return nil
	}
	if alive {
		is, err := b.isUnrecorded(ctx, where)
		if is {
			plan.Items = append(plan.Items, backend.CleanupItem{Bottle: where.id.String(), Kind: "bottle", Target: where.id.Name, Reason: "its record was removed from containerd"})
		}
		return err
	}
	if can, err := b.canRevive(ctx, where); err != nil || can {
		if can {
			keep(where.state, 0, "its supervisor died, claude goes on in it: `claude-bottle attach "+where.id.Name+"` starts the supervisor again, `stop` ends both")
		}
		return err
	}
	s, err := b.observe(ctx, where, false)
	if errdefs.IsFailedPrecondition(err) {
		keep(where.state, 0, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if ran, err := exists(where.baseline()); s.onlyState() && (err != nil || ran) {
		s.state = false // kept, not dead: it goes by the user's word alone
	}
	plan.Items = append(plan.Items, items(where, s)...)
	unsaved, err := unsavedWork(ctx, where)
	if err != nil {
		return err
	}
	switch {
	case unsaved.Any():
		reason := unsaved.Unknown
		if reason == "" && len(unsaved.Refs) > 0 {
			reason = unsaved.Words()
		}
		keep(unsaved.Workspace, unsaved.Changed, reason)
	case unsaved.Differs():
		keep(unsaved.Workspace, unsaved.Other, "no work is unsaved, but .git has changed")
	}
	return nil
}

// items are the things that the steps down of this bottle would remove.
func items(where places, s seen) []backend.CleanupItem {
	const reason = "no process holds it any more"
	var list []backend.CleanupItem
	add := func(there bool, kind, target string) {
		if there {
			list = append(list, backend.CleanupItem{Bottle: where.id.String(), Kind: kind, Target: target, Reason: reason})
		}
	}
	add(s.task != taskAbsent, "task", where.id.Name)
	add(s.leftovers, "leftovers", "processes, cgroups and mounts of "+where.id.Name)
	add(s.snapshot, "snapshot", where.id.String())
	add(s.record, "record", where.id.Name)
	add(s.state, "state directory", where.state)
	add(s.run, "run directory", where.run)
	return list
}

// Cleanup implements backend.Backend.
func (b *Backend) Cleanup(ctx context.Context, plan *backend.CleanupPlan) error {
	var failed error
	done := map[string]bool{}
	for _, item := range plan.Items {
		switch item.Kind {
		case itemBuild:
			failed = errors.Join(failed, b.dropBuilds(ctx))
			continue
		case itemSocket:
			failed = errors.Join(failed, b.dropController())
			continue
		}
		if done[item.Bottle] {
			continue
		}
		done[item.Bottle] = true
		id, err := backend.ParseID(item.Bottle)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if err := b.endUnrecorded(ctx, b.layout.bottle(id)); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		// One that is held again is somebody's: leave it.
		if err := b.takeDead(ctx, id); err != nil && !errdefs.IsUnavailable(err) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// everyID collects the bottles that left anything anywhere. A record that names
// none goes into the plan as one to keep.
func (b *Backend) everyID(ctx context.Context, plan *backend.CleanupPlan) ([]backend.ID, error) {
	ids, err := b.layout.ids()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, id := range ids {
		names[id.String()] = true
	}
	add := func(text string) {
		if id, err := backend.ParseID(text); err == nil && !names[text] {
			names[text] = true
			ids = append(ids, id)
		}
	}
	records, err := b.client.Records(ctx)
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		id, err := idOf(record)
		if err != nil {
			plan.Kept = append(plan.Kept, backend.KeptWorkspace{Handle: record.Name, Path: "record " + record.Name, Reason: err.Error()})
			continue
		}
		add(id.String())
	}
	snapshots, err := b.client.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, snapshot := range snapshots {
		add(snapshot.Key)
	}
	slices.SortFunc(ids, func(a, b backend.ID) int { return cmp.Compare(a.String(), b.String()) })
	return ids, nil
}
