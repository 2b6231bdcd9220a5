package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Status is what is seen of an engine.
type Status struct {
	Running bool   `json:"running"`
	Address string `json:"address"`
	Root    string `json:"root"`
	State   string `json:"state"`
	Log     string `json:"log"`
	// PID is the daemon's, Keeper the process that sees to it; 0 when there is none.
	PID    int `json:"pid,omitempty"`
	Keeper int `json:"keeper,omitempty"`
	// Since is when its keeper came, Idle how long it goes on when nobody uses it.
	Since *time.Time `json:"since,omitempty"`
	Idle  string     `json:"idle,omitempty"`
	// InUse says that a command holds it, Tasks name what it runs.
	InUse bool     `json:"inUse"`
	Tasks []string `json:"tasks"`
}

// Status looks at the engine, and changes nothing.
func (e *Engine) Status() (Status, error) {
	status := Status{Running: e.Answers(), Address: e.Address(), Root: e.root, State: e.state, Log: e.Log(), Tasks: []string{}}
	if _, err := os.Stat(e.state); err != nil {
		return status, nil //nolint:nilerr // there is none, or none that this user may see
	}
	daemon, err := e.find()
	if err != nil {
		return status, err
	}
	if daemon != nil {
		status.PID = daemon.pid
		daemon.close()
	}
	if keeper, noted, err := e.keeper(); err != nil {
		return status, err
	} else if keeper != nil {
		keeper.close()
		status.Keeper, status.Since, status.Idle = noted.PID, &noted.Since, noted.Idle.String()
	}
	if status.InUse, err = lockHeld(e.useLock(), unix.LOCK_EX); err != nil {
		return status, err
	}
	running, err := e.Running()
	status.Tasks = append(status.Tasks, running...)
	return status, err
}

// keeper holds the process that its lock names, if that is held. Nothing and no error
// say that there is none.
func (e *Engine) keeper() (*process, note, error) {
	var noted note
	held, err := lockHeld(e.keeperLock(), unix.LOCK_SH)
	if err != nil || !held {
		return nil, noted, err
	}
	data, err := os.ReadFile(e.keeperLock())
	if err != nil {
		return nil, noted, fmt.Errorf("read note of the keeper: %w", err)
	}
	if json.Unmarshal(data, &noted) != nil || noted.PID < 1 {
		return nil, noted, nil // it is just being written
	}
	descriptor, err := unix.PidfdOpen(noted.PID, 0)
	if err != nil {
		return nil, noted, nil //nolint:nilerr // it has ended meanwhile
	}
	if start, err := startTime(noted.PID); err != nil || start != noted.Start {
		return nil, noted, errors.Join(unix.Close(descriptor))
	}
	p, err := hold(noted.PID, descriptor)
	return p, noted, err
}

// Stop ends the engine and its keeper; that there is none is no error. While tasks run, or
// a command uses it, it refuses with a Conflict error, unless force is set: tasks live on
// without it.
func (e *Engine) Stop(ctx context.Context, force bool) error {
	if _, err := os.Stat(e.state); err != nil {
		return nil //nolint:nilerr // there never was one
	}
	if !force {
		release, err := e.claim(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	// Nobody is just starting it, then.
	starting, err := takeLock(ctx, e.startLock(), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = starting.Close() }()
	keeper, _, err := e.keeper()
	if err != nil {
		return err
	}
	if keeper != nil {
		defer keeper.close()
		if err := keeper.leave(ctx); err != nil {
			return err
		}
	}
	daemon, err := e.find()
	if err != nil {
		return err
	}
	if daemon != nil { // it had no keeper
		defer daemon.close()
		if err := daemon.end(ctx, stopLimit); err != nil {
			return err
		}
	} else if e.Answers() {
		return fmt.Errorf("the containerd on %s was started by somebody else, who has to end it: %w", e.Address(), errdefs.ErrFailedPrecondition)
	}
	return e.removeSockets()
}

// leave tells a keeper to end its daemon and itself.
func (p *process) leave(ctx context.Context) error {
	const patience = 2*stopLimit + 5*time.Second // it waits for the daemon
	if err := p.signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.gone:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the keeper of the engine, process %d, does not end: %w", p.pid, context.DeadlineExceeded)
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of the engine: %w", context.Cause(ctx))
	}
}

// claim keeps everybody else from using the engine.
func (e *Engine) claim(ctx context.Context) (release func(), err error) {
	refuse := func(what string) error {
		return fmt.Errorf("%s: end that first (`claude-bottle stop` ends a bottle), or say --force: bottles live on, and the next command starts the engine again: %w", what, errdefs.ErrConflict)
	}
	running, err := e.Running()
	if err != nil {
		return nil, err
	}
	if len(running) > 0 {
		return nil, refuse("the engine runs " + strings.Join(running, ", "))
	}
	// A command that is about to end has a moment for that.
	const patience = 3 * time.Second
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lock, err := takeLock(waiting, e.useLock(), unix.LOCK_EX)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return nil, refuse("a command uses the engine")
	}
	if err != nil {
		return nil, err
	}
	if running, err = e.Running(); err != nil || len(running) > 0 {
		return nil, errors.Join(err, lock.Close(), refuse("the engine runs "+strings.Join(running, ", ")))
	}
	return func() { _ = lock.Close() }, nil
}
