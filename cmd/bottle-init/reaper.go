package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// reaper owns all waiting of PID 1: for the processes that it has started, whose
// status it hands on, and for orphans, whose status nobody wants.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	done    chan struct{}
	ended   chan struct{}
	signals chan os.Signal
}

func newReaper() *reaper {
	r := &reaper{
		waiting: map[int]chan syscall.WaitStatus{}, done: make(chan struct{}), ended: make(chan struct{}),
		signals: make(chan os.Signal, 1),
	}
	signal.Notify(r.signals, syscall.SIGCHLD)
	go r.run()
	return r
}

func (r *reaper) close() {
	signal.Stop(r.signals)
	close(r.done)
	<-r.ended
}

func (r *reaper) run() {
	defer close(r.ended)
	for {
		select {
		case <-r.signals:
			r.reap()
		case <-r.done:
			return
		}
	}
}

// reap waits for everything that has ended. The lock keeps a process that ends
// at once from being reaped before start has noted who waits for it.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		waiting, ok := r.waiting[pid]
		if status.Stopped() {
			if ok {
				// No shell is there to say fg.
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
			continue
		}
		if ok {
			waiting <- status
			delete(r.waiting, pid)
		}
	}
}

// start starts the command; its status comes through the channel. The command's
// own Wait must not be called.
func (r *reaper) start(command *exec.Cmd) (<-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := command.Start(); err != nil {
		return nil, err
	}
	status := make(chan syscall.WaitStatus, 1)
	r.waiting[command.Process.Pid] = status
	return status, nil
}

// exitCode is the code that a shell would show.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
