package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// Bounds of the daemon's life.
const (
	startLimit    = 60 * time.Second
	takeOverLimit = 5 * time.Second // for one that has been started by a keeper that is no more
	stopLimit     = 15 * time.Second
	// A daemon that dies again and again is started after pauses that double.
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	steadyTime = time.Minute // who has run so long starts at the first pause again
)

// note is what a keeper writes into its lock. It holds as long as the lock is held.
type note struct {
	PID   int           `json:"pid"`
	Start string        `json:"start"` // by which the pid is known
	Since time.Time     `json:"since"`
	Idle  time.Duration `json:"idle"`
	// Starting says that the keeper has not seen the daemon answer yet: if it ends now,
	// the keeper gives up.
	Starting bool `json:"starting,omitempty"`
}

// keeper is the work of one.
type keeper struct {
	engine *Engine
	lock   *os.File // holds the note
	idle   time.Duration
	daemon *process
	since  time.Time // the daemon was started, or found
	used   time.Time // the last time that somebody was seen to use it
	noted  time.Time // by the clock of the file system: the last time that somebody said so
	pause  time.Duration
}

// Keep is the keeper: it starts the daemon, or takes over one that has lost its keeper,
// starts it again when it dies in use, and ends it once nobody has used it for so long; 0
// is for ever. One that is taken over keeps the time that it was started with. It returns
// when the daemon has ended, and ends it when ctx ends. One that has nothing to do, since
// there is another keeper, is an Unavailable error.
func (e *Engine) Keep(ctx context.Context, idle time.Duration) error {
	if err := e.prepare(); err != nil {
		return err
	}
	lock, err := e.lockAsKeeper(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	k := &keeper{engine: e, lock: lock, idle: idle, used: time.Now(), pause: firstPause}
	if before := readNote(lock); before != nil {
		k.idle = before.Idle // that of the daemon, if there still is one
	}
	if err := k.writeNote(true); err != nil {
		return err
	}
	defer func() { k.daemon.close() }()
	if err := k.takeOver(ctx); err != nil {
		return err
	}
	if k.daemon == nil {
		k.idle = idle
		if err := k.writeNote(true); err != nil {
			return err
		}
		if err := k.start(ctx); err != nil {
			return err
		}
	}
	if err := k.writeNote(false); err != nil {
		return err
	}
	return k.watch(ctx)
}

// lockAsKeeper has patience with who only asks whether the lock is held.
func (e *Engine) lockAsKeeper(ctx context.Context) (*os.File, error) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the engine has a keeper: %w", errdefs.ErrUnavailable))
	defer cancel()
	return takeLock(ctx, e.keeperLock(), unix.LOCK_EX)
}

// readNote is what the last keeper has written; nil when there was none, or none that
// came so far.
func readNote(lock *os.File) *note {
	var noted note
	if json.NewDecoder(io.NewSectionReader(lock, 0, 4<<10)).Decode(&noted) != nil || noted.PID < 1 {
		return nil
	}
	return &noted
}

func (k *keeper) writeNote(starting bool) error {
	start, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	data, err := json.Marshal(note{PID: os.Getpid(), Start: start, Since: time.Now().Round(time.Second), Idle: k.idle, Starting: starting})
	if err == nil {
		err = k.lock.Truncate(0)
	}
	if err == nil {
		_, err = k.lock.WriteAt(data, 0)
	}
	if err != nil {
		return fmt.Errorf("write note of the keeper: %w", err)
	}
	return nil
}

// takeOver finds a daemon that a keeper has left behind. One that does not answer, since
// its socket is gone or it hangs, is ended: it holds the root directory.
func (k *keeper) takeOver(ctx context.Context) error {
	found, err := k.engine.find()
	if err != nil || found == nil {
		return err
	}
	if err := k.engine.awaitAnswer(ctx, found, takeOverLimit); err == nil {
		log.G(ctx).WithField("pid", found.pid).Info("keep a containerd that was there")
		k.daemon, k.since = found, time.Now()
		return nil
	}
	defer found.close()
	log.G(ctx).WithField("pid", found.pid).Warn("end a containerd that does not answer")
	return found.end(context.WithoutCancel(ctx), stopLimit)
}

// start starts the daemon and waits until it answers.
func (k *keeper) start(ctx context.Context) error {
	started, err := k.engine.launch()
	if err != nil {
		return err
	}
	k.daemon, k.since = started, time.Now()
	log.G(ctx).WithField("pid", started.pid).Info("started containerd")
	if err := k.engine.awaitAnswer(ctx, started, startLimit); err != nil {
		return errors.Join(err, started.end(context.WithoutCancel(ctx), stopLimit))
	}
	return nil
}

// launch runs the daemon in a session of its own, with nothing of our environment: the
// runtimes that it finds first are ours.
func (e *Engine) launch() (*process, error) {
	text, err := Config(e.root, e.state, e.Address())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(e.config(), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration of containerd: %w", err)
	}
	// Not through a pipe: it outlives its keeper.
	logFile, err := e.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	descriptor := -1
	command := exec.Command(e.Binary(), "--config", e.config()) //nolint:noctx // it outlives the call by design
	command.Stdout, command.Stderr = logFile, logFile
	command.Dir = "/"
	command.Env = []string{"HOME=/root", "LANG=C.UTF-8", "PATH=" + e.libexec + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &descriptor}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	go func() { _ = command.Wait() }() // its log says how it went
	if descriptor < 0 {
		return nil, fmt.Errorf("hold containerd: the kernel has no pidfd, 5.4 has: %w", errdefs.ErrNotImplemented)
	}
	return hold(command.Process.Pid, descriptor)
}

// awaitAnswer waits for a daemon that is starting.
func (e *Engine) awaitAnswer(ctx context.Context, daemon *process, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("containerd gives no answer within %s: %w", limit, context.DeadlineExceeded))
	defer cancel()
	for !e.Answers() {
		select {
		case <-daemon.gone:
			return fmt.Errorf("containerd has ended at once: %w", errdefs.ErrUnavailable)
		default:
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	for _, socket := range []string{e.Address(), e.Address() + ".ttrpc"} {
		if err := os.Chmod(socket, 0o600); err != nil {
			return fmt.Errorf("close socket of containerd: %w", err)
		}
	}
	return nil
}
