package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Start sees to it that the engine answers and has a keeper, which is started by the given
// command if need be. Of several at once one starts it, and the others wait. Whoever calls
// it holds a Use. started says that it did not answer before.
func (e *Engine) Start(ctx context.Context, keeper *exec.Cmd) (started bool, err error) {
	if err := e.prepare(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("the engine gives no answer within %s (`claude-bottle engine logs` has more): %w", startLimit, context.DeadlineExceeded))
	defer cancel()
	lock, err := takeLock(ctx, e.startLock(), unix.LOCK_EX)
	if err != nil {
		return false, err
	}
	defer func() { _ = lock.Close() }()
	var ended chan string // how the keeper has
	for {
		answers := e.Answers()
		kept, err := lockHeld(e.keeperLock(), unix.LOCK_SH)
		if err != nil {
			return false, err
		}
		if answers && (kept && e.serves() || !kept && e.foreign()) {
			return started, nil
		}
		started = started || !answers
		if !kept && ended == nil {
			if ended, err = e.startKeeper(keeper); err != nil {
				return false, err
			}
		}
		select {
		case how := <-ended:
			if held, _ := lockHeld(e.keeperLock(), unix.LOCK_SH); !held {
				return false, fmt.Errorf("start the engine: its keeper has ended (%s)%s: %w", how, e.tail(), errdefs.ErrUnavailable)
			}
			ended = nil // another one was faster
		default:
		}
		if err := sleep(ctx, pause); err != nil {
			return false, fmt.Errorf("start the engine: %w", err)
		}
	}
}

// serves says that the keeper has seen the daemon answer, and from now on sees to it that
// it goes on doing so.
func (e *Engine) serves() bool {
	data, err := os.ReadFile(e.keeperLock())
	var noted note
	return err == nil && json.Unmarshal(data, &noted) == nil && !noted.Starting
}

// foreign says that a daemon on the socket was started by somebody else, who sees to it.
func (e *Engine) foreign() bool {
	ours, err := e.find()
	if err != nil || ours != nil {
		ours.close()
		return false
	}
	return true
}

// startKeeper starts it in a session of its own, with the log for its words.
func (e *Engine) startKeeper(command *exec.Cmd) (chan string, error) {
	logFile, err := e.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	command.Stdout, command.Stderr = logFile, logFile
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start keeper of the engine: %w", err)
	}
	ended := make(chan string, 1)
	go func() {
		_ = command.Wait() // the state says how it went
		ended <- command.ProcessState.String()
	}()
	return ended, nil
}
