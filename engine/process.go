package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// process is held by a descriptor: its number may be somebody else's once it has ended.
type process struct {
	pid        int
	descriptor int
	gone       chan struct{} // closed when it has ended
	wake       int           // an eventfd that ends the watch
	watched    sync.WaitGroup
}

// hold takes the descriptor over. The caller closes the process.
func hold(pid, descriptor int) (*process, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(descriptor)
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	p := &process{pid: pid, descriptor: descriptor, gone: make(chan struct{}), wake: wake}
	p.watched.Go(p.watch)
	return p, nil
}

func (p *process) watch() {
	for {
		polled := []unix.PollFd{{Fd: int32(p.descriptor), Events: unix.POLLIN}, {Fd: int32(p.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if polled[0].Revents != 0 {
			close(p.gone)
		}
		return
	}
}

// close lets go of the process, and does nothing to it.
func (p *process) close() {
	if p == nil {
		return
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.wake, one[:])
	p.watched.Wait()
	_ = unix.Close(p.wake)
	_ = unix.Close(p.descriptor)
}

func (p *process) signal(signal unix.Signal) error {
	err := unix.PidfdSendSignal(p.descriptor, signal, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// end asks it to end, and kills it when it does not.
func (p *process) end(ctx context.Context, patience time.Duration) error {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := p.signal(signal); err != nil {
			return err
		}
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.gone:
			return nil
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of process %d: %w", p.pid, context.Cause(ctx))
		}
	}
	return fmt.Errorf("process %d does not end: %w", p.pid, context.DeadlineExceeded)
}

// find looks for the daemon of this engine: root's, with this configuration, on this root
// directory. One in a container may have the same names for other places. Nothing and no
// error say that there is none.
func (e *Engine) find() (*process, error) {
	own, err := os.Stat(e.root)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // there never was one
	}
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("look for the engine: %w", err)
	}
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || !e.runsAs(directory, own) {
			continue
		}
		descriptor, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if e.runsAs(directory, own) { // it still is what it was
			return hold(pid, descriptor)
		}
		_ = unix.Close(descriptor)
	}
	return nil, nil //nolint:nilnil // as said
}

func (e *Engine) runsAs(directory string, own os.FileInfo) bool {
	line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
	arguments := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	if err != nil || len(arguments) != 3 || filepath.Base(arguments[0]) != "containerd" || arguments[2] != e.config() {
		return false
	}
	status, err := os.ReadFile(filepath.Join(directory, "status"))
	if err != nil || !ownedByUs(status) {
		return false
	}
	theirs, err := os.Stat(filepath.Join(directory, "root", e.root))
	return err == nil && os.SameFile(own, theirs)
}

// ownedByUs reads the real uid and the others: the owner of the directory in /proc is root
// for whoever forbids to be dumped.
func ownedByUs(status []byte) bool {
	for line := range bytes.Lines(status) {
		fields := strings.Fields(string(line))
		if len(fields) == 5 && fields[0] == "Uid:" {
			for _, uid := range fields[1:] {
				if uid != strconv.Itoa(os.Geteuid()) {
					return false
				}
			}
			return true
		}
	}
	return false
}

// startTime tells a pid from its next owner: clock ticks since boot.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	const field = 19 // of those behind the command, which may hold anything
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= field {
		return "", fmt.Errorf("look at process %d: %w", pid, os.ErrInvalid)
	}
	return fields[field], nil
}
