package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// reviveTimeout bounds the wait for PID 1 to come to a supervisor that was started
// again: it dials once a second at least.
const reviveTimeout = 20 * time.Second

// revivable says that a bottle whose supervisor died goes on inside, and that another
// can take its place. The caller knows that nobody holds it.
func (b *Backend) revivable(ctx context.Context, record runtime.Record, where places) (bool, error) {
	if record.Labels[backend.LabelDetached] != yes || record.Labels[backend.LabelWish] != backend.WishUp {
		return false, nil
	}
	if err := errors.Join(checkRecord(record), b.layout.checkRoots(record)); err != nil {
		return false, err
	}
	if taken, err := exists(where.taken()); err != nil || taken {
		return false, err
	}
	if there, err := exists(where.again()); err != nil || !there {
		return false, err
	}
	phase, err := b.taskPhase(ctx, record.Name)
	return phase == taskRunning, err
}

// canRevive is revivable for who knows but the directories.
func (b *Backend) canRevive(ctx context.Context, where places) (bool, error) {
	if there, err := exists(where.again()); err != nil || !there {
		return false, err
	}
	record, err := b.client.Record(ctx, where.id.Name)
	if errdefs.IsNotFound(err) || err == nil && !belongs(record, where.id) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	can, err := b.revivable(ctx, record, where)
	if errdefs.IsFailedPrecondition(err) {
		return false, nil // it is kept, whatever it is
	}
	return can, err
}

// goesOn is revivable for who lists: what can't be seen is not so.
func (b *Backend) goesOn(ctx context.Context, record runtime.Record) bool {
	id, err := idOf(record)
	if err != nil {
		return false
	}
	can, err := b.revivable(ctx, record, b.layout.bottle(id))
	return err == nil && can
}

// revive starts the supervisor of a detached bottle again. One that is not revivable,
// or that somebody holds, is left as it is: revived is false.
func (b *Backend) revive(ctx context.Context, record runtime.Record, where places) (revived bool, err error) {
	client, err := b.startAgain(ctx, record, where)
	if client == nil || err != nil {
		return false, err
	}
	defer client.Close()
	waiting, cancel := context.WithTimeout(ctx, reviveTimeout)
	defer cancel()
	if err := client.Ready(waiting); err != nil {
		// What can't be held is dead: cleanup takes it down to its work. Who was told to
		// stop, or whose supervisor was killed once more, has not found that out.
		if !client.Killed(waiting) && ctx.Err() == nil {
			_ = os.Remove(where.again())
		}
		return false, fmt.Errorf("start the supervisor of %s again%s: %w", record.Name, tail(where.log()), err)
	}
	return true, nil
}

// reviveSoon is revive for who wants the bottle: a supervisor that was killed a moment
// ago holds it no more.
func (b *Backend) reviveSoon(ctx context.Context, record runtime.Record, id backend.ID) error {
	if record.Labels[backend.LabelDetached] != yes {
		return nil
	}
	if alive, err := b.waitHolder(ctx, record); err != nil || alive {
		return err
	}
	_, err := b.revive(ctx, record, b.layout.bottle(id))
	return err
}

// startAgain is the part of revive that one client does at a time. Under the lock of
// claims nobody else can begin to hold the bottle.
func (b *Backend) startAgain(ctx context.Context, record runtime.Record, where places) (*supervise.Client, error) {
	guard, err := acquire(b.layout.claimLock(), true)
	if err != nil {
		return nil, err
	}
	defer guard.release()
	if can, err := b.revivable(ctx, record, where); err != nil || !can {
		return nil, err
	}
	if alive, err := held(where.lock()); err != nil || alive {
		return nil, err
	}
	config, err := supervise.ReadAgain(where.run)
	if err != nil {
		return nil, err
	}
	// The daemon is reached as this client reaches it.
	if config.Backend, err = json.Marshal(b.options); err != nil {
		return nil, fmt.Errorf("encode backend options: %w", err)
	}
	taken, err := acquire(where.lock(), true) // askers have it for a moment
	if err != nil {
		return nil, err
	}
	defer taken.release()
	log.G(ctx).WithField("bottle", where.id).Info("start its supervisor again")
	return supervise.Start(ctx, supervise.Launch{
		Executable: b.options.Executable,
		Args:       []string{"supervise", where.id.String()},
		Lock:       taken.file,
		Log:        where.log(),
		Config:     config,
	})
}

// noteLost notes of a detached bottle that its claude went with it: nobody else can
// say what became of it.
func (b *Backend) noteLost(ctx context.Context, where places) error {
	record, err := b.client.Record(ctx, where.id.Name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if record.Labels[backend.LabelDetached] != yes || !belongs(record, where.id) || record.Labels[backend.LabelWish] != backend.WishUp {
		return nil
	}
	missing, err := missingSecrets(where)
	if err != nil {
		return err
	}
	if err := supervise.NoteLost(where.state, "the bottle was found without its supervisor or its sandbox", missing); err != nil {
		return err
	}
	if outcome, err := readOutcome(where); err == nil && outcome.WaitsForCredentials() {
		noteEvent(ctx, where, backend.Event{Type: backend.EventWarning, Reason: backend.CredentialsMissing, Message: outcome.MissingWords(where.id.Handle())})
	}
	return nil
}

// missingSecrets are those of a lost bottle that went with the memory of the host, or of its
// supervisor: what another supervisor would begin with is gone.
func missingSecrets(where places) ([]string, error) {
	if there, err := exists(where.again()); err != nil || there {
		return nil, err
	}
	plan, err := readPlan(where)
	if err != nil {
		return nil, nil //nolint:nilerr // it is kept, whatever it had
	}
	home, _ := os.UserHomeDir() // without one what lies below it can't be read
	return supervise.Missing(plan, home), nil
}

// again is there while the supervisor of a detached bottle can be started again.
func (p places) again() string { return filepath.Join(p.run, supervise.AgainFile) }
