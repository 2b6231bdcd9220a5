package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

var _ backend.Reconciler = (*Backend)(nil)

const (
	// longestWait bounds what Reconcile asks to wait: a clock may have been wrong when
	// claude ended, and be right by then.
	longestWait = time.Hour
	// inUseWait is for a kept bottle that is to be removed while a command works on it.
	inUseWait = 10 * time.Second
)

// reasonUnsaved is the reason of the event that says why a bottle outlives its time.
const reasonUnsaved = "UnsavedWork"

// Reconcile implements backend.Reconciler. What is not ours to judge, for it is of other
// roots, of another version or no bottle, is left as it is.
func (b *Backend) Reconcile(ctx context.Context, name string) (again time.Duration, err error) {
	base, suffix := split(name)
	if backend.ValidateName("bottle", base) != nil {
		return 0, nil // another container of the namespace
	}
	record, err := b.client.Record(ctx, base)
	if err != nil && !errdefs.IsNotFound(err) {
		return 0, err
	}
	if err == nil {
		id, err := idOf(record)
		if err != nil && suffix == "" {
			log.G(ctx).WithError(err).Debug("leave bottle alone")
			return 0, nil
		}
		if err == nil && (suffix == "" || id.Suffix == suffix) {
			return 0, b.reconcileRecord(ctx, record, id)
		}
	}
	ids, err := b.layout.ids()
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if id.Name != base || suffix != "" && id.Suffix != suffix {
			continue
		}
		where := b.layout.bottle(id)
		next, keptErr := b.reconcileKept(ctx, where)
		err = errors.Join(err, keptErr, b.endUnrecorded(ctx, where))
		if next > 0 && (again == 0 || next < again) {
			again = next
		}
	}
	return again, err
}

// reconcileRecord sees to a bottle that has a record: one that somebody holds lives, one
// that can be held again is, and any other is taken down to its work.
func (b *Backend) reconcileRecord(ctx context.Context, record runtime.Record, id backend.ID) error {
	if err := errors.Join(checkRecord(record), b.layout.checkRoots(record)); err != nil {
		log.G(ctx).WithError(err).Debug("leave bottle alone")
		return nil
	}
	where := b.layout.bottle(id)
	if alive, err := b.held(record); err != nil || alive {
		return err
	}
	if record.Labels[backend.LabelDetached] == yes {
		revived, err := b.revive(ctx, record, where)
		if err != nil {
			return err
		}
		if revived {
			noteEvent(ctx, where, backend.Event{Type: backend.EventWarning, Reason: "SupervisorRestarted", Message: "its supervisor had died; claude has gone on meanwhile"})
			return nil
		}
	}
	log.G(ctx).WithField("bottle", id).Info("nobody holds it: take it down to its work")
	return b.takeDown(ctx, id)
}

// takeDown is takeDead for one that may have found somebody who holds it meanwhile.
func (b *Backend) takeDown(ctx context.Context, id backend.ID) error {
	if err := b.takeDead(ctx, id); err != nil && !errdefs.IsUnavailable(err) {
		return err
	}
	return nil
}

// reconcileKept sees to what has no record: what is left of a bottle that was cut while
// it was made or taken down goes, and so does a kept one whose time is over.
func (b *Backend) reconcileKept(ctx context.Context, where places) (again time.Duration, err error) {
	if alive, err := held(where.lock()); err != nil || alive {
		return 0, err
	}
	if err := checkState(where); err != nil {
		log.G(ctx).WithError(err).Debug("leave bottle alone")
		return 0, nil
	}
	run, err := exists(where.run)
	if err != nil {
		return 0, err
	}
	never, err := neverRan(where)
	if err != nil {
		return 0, err
	}
	if run || never {
		if err := b.takeDown(ctx, where.id); err != nil {
			return 0, err
		}
	}
	remaining, due, err := timeLeft(where, time.Now())
	if err != nil || !due {
		return min(remaining, longestWait), err
	}
	return b.expire(ctx, where)
}

// timeLeft says how long a kept bottle may stay, and whether that is over. One of which
// nothing was declared has no such time: neither is so.
func timeLeft(where places, now time.Time) (remaining time.Duration, due bool, err error) {
	declaration, err := readDeclaration(where)
	if err != nil || declaration == nil || declaration.Life.TTLSecondsAfterFinished == nil {
		return 0, false, err
	}
	outcome, err := readOutcome(where)
	if err != nil || outcome == nil {
		return 0, false, err
	}
	after := time.Duration(*declaration.Life.TTLSecondsAfterFinished) * time.Second
	remaining = outcome.Finished.Add(after).Sub(now)
	return max(remaining, 0), remaining <= 0, nil
}

// expire removes a kept bottle whose time is over, unless it holds work that is nowhere
// else. The clock may be wrong: it decides about nothing but what can be made again.
func (b *Backend) expire(ctx context.Context, where places) (again time.Duration, err error) {
	release, err := b.Take(ctx, where.work())
	switch {
	case errdefs.IsUnavailable(err):
		return inUseWait, nil
	case errdefs.IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	defer release()
	// It may have gone on and ended anew before it was taken.
	if remaining, due, err := timeLeft(where, time.Now()); err != nil || !due {
		return min(remaining, longestWait), err
	}
	unsaved, err := unsavedWork(ctx, where)
	if err != nil {
		return 0, err
	}
	if unsaved.Any() {
		return 0, sayUnsaved(ctx, where, unsaved)
	}
	log.G(ctx).WithField("bottle", where.id).Info("its time after claude's end is over: remove it")
	if err := removeState(ctx, where, true); err != nil {
		return 0, fmt.Errorf("remove %s: %w", where.id, err)
	}
	return 0, nil
}

// sayUnsaved notes, once, why a bottle outlives its time.
func sayUnsaved(ctx context.Context, where places, unsaved backend.Unsaved) error {
	outcome, err := readOutcome(where)
	if err != nil || outcome == nil {
		return err
	}
	events, err := supervise.ReadEvents(where.state)
	if err != nil {
		return err
	}
	said := func(event backend.Event) bool {
		return event.Reason == reasonUnsaved && !event.Time.Before(outcome.Finished)
	}
	if slices.ContainsFunc(events, said) {
		return nil
	}
	log.G(ctx).WithField("bottle", where.id).Warn("its time is over, but it holds unsaved work: it stays")
	noteEvent(ctx, where, backend.Event{Type: backend.EventWarning, Reason: reasonUnsaved, Message: "its time is over, but it stays: " + unsaved.Words()})
	return nil
}

// noteEvent notes what has happened to a bottle; that it could not be noted is no reason
// to leave anything undone.
func noteEvent(ctx context.Context, where places, event backend.Event) {
	if err := supervise.NoteEvent(where.state, event); err != nil {
		log.G(ctx).WithError(err).WithField("bottle", where.id).Warn("note event")
	}
}
