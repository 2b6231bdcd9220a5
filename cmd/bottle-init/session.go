package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

const (
	// quietTime is how long an output that a background child keeps open
	// has to be silent after the command has ended.
	quietTime = 100 * time.Millisecond
	// hangUpTime is what a command has between SIGHUP and SIGKILL when its
	// client is gone.
	hangUpTime = 2 * time.Second
)

// session runs one command for the stream's client.
func (b *bottle) session(ctx context.Context, request *neck.SessionRequest, stream neck.Stream) {
	defer func() { _ = stream.Close() }()
	if request == nil || len(request.Argv) == 0 {
		_ = stream.Refuse(fmt.Errorf("a session without a command: %w", errdefs.ErrInvalidArgument))
		return
	}
	if stream.Accept() != nil {
		return
	}
	client := neck.NewCommand(stream)
	running, err := b.startCommand(request, client)
	if err != nil {
		_ = client.Fail(err)
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		running.follow(client)
	}()
	var status syscall.WaitStatus
	select {
	case status = <-running.ended:
	case <-gone:
		status = running.hangUp()
	case <-ctx.Done():
		status = running.hangUp()
	}
	running.drain()
	b.telling.settle()
	_ = client.Exit(neck.ExitStatus{Code: exitCode(status)})
	_ = stream.Close()
	// The client ends its side once it has read the exit.
	_ = stream.SetReadDeadline(time.Now().Add(hangUpTime))
	<-gone
	running.close()
}

// command is a running command and its side of the pipes.
type command struct {
	pid    int
	tty    bool
	ended  <-chan syscall.WaitStatus
	input  *os.File
	typed  io.Writer  // input, or what stands before it
	ours   []*os.File // what we read from and write to
	copies sync.WaitGroup
	mu     sync.Mutex
	last   time.Time // of output
}

// startCommand finds and starts the command.
func (b *bottle) startCommand(request *neck.SessionRequest, client *neck.Command) (*command, error) {
	path, err := lookPath(request.Argv[0], request.Env, request.Dir)
	if err != nil {
		return nil, err
	}
	process := &exec.Cmd{Path: path, Args: request.Argv, Env: request.Env, Dir: request.Dir}
	c := &command{tty: request.TTY}
	theirs, outputs, err := c.connect(process, request, client)
	defer func() {
		for _, file := range theirs {
			_ = file.Close()
		}
	}()
	if err == nil {
		c.ended, err = b.reaper.start(process)
	}
	if err != nil {
		c.close()
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
			err = errors.Join(err, errdefs.ErrPermissionDenied)
		}
		return nil, fmt.Errorf("start %s: %w", request.Argv[0], err)
	}
	c.pid = process.Process.Pid
	for from, to := range outputs {
		c.copies.Go(func() { _, _ = io.Copy(to, c.noting(from)) })
	}
	return c, nil
}

// connect gives the process a terminal or three pipes, and returns the ends to
// be closed once it has them, and which of our ends goes to which output.
func (c *command) connect(process *exec.Cmd, request *neck.SessionRequest, client *neck.Command) ([]*os.File, map[*os.File]io.Writer, error) {
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if request.TTY {
		master, terminal, err := pty.Open()
		if err != nil {
			return nil, nil, fmt.Errorf("open terminal: %w", err)
		}
		c.input, c.ours = master, []*os.File{master}
		process.Stdin, process.Stdout, process.Stderr = terminal, terminal, terminal
		process.SysProcAttr.Setctty = true
		if c.typed, err = newKeys(master, terminal, c.signal); err != nil {
			return []*os.File{terminal}, nil, fmt.Errorf("prepare terminal: %w", err)
		}
		size := &pty.Winsize{Cols: request.Size.Columns, Rows: request.Size.Rows}
		return []*os.File{terminal}, map[*os.File]io.Writer{master: client.Stdout()}, pty.Setsize(master, size)
	}
	var theirs []*os.File
	var near [3]*os.File
	for i := range near {
		read, write, err := os.Pipe()
		if err != nil {
			return theirs, nil, fmt.Errorf("open pipe: %w", err)
		}
		near[i] = read
		far := write
		if i == 0 {
			near[i], far = write, read
		}
		theirs, c.ours = append(theirs, far), append(c.ours, near[i])
	}
	c.input, c.typed = near[0], near[0]
	process.Stdin, process.Stdout, process.Stderr = theirs[0], theirs[1], theirs[2]
	return theirs, map[*os.File]io.Writer{near[1]: client.Stdout(), near[2]: client.Stderr()}, nil
}

// follow does what the client says until it is gone.
func (c *command) follow(client *neck.Command) {
	for {
		event, err := client.Next()
		if err != nil {
			return
		}
		switch {
		case event.EOF && !c.tty:
			_ = c.input.Close()
		case len(event.Input) > 0:
			// A command that has ended, or closed its input, reads no
			// more: that is its own affair.
			_, _ = c.typed.Write(event.Input)
		case event.Size != nil && c.tty:
			_ = pty.Setsize(c.input, &pty.Winsize{Cols: event.Size.Columns, Rows: event.Size.Rows})
			c.signal(syscall.SIGWINCH) // gVisor does not send it by itself
		case event.Signal != "":
			c.signal(unix.SignalNum(event.Signal))
		}
	}
}

// signal reaches the foreground of the session, as from a keyboard.
func (c *command) signal(number syscall.Signal) {
	if number == 0 {
		return
	}
	group := c.pid
	if c.tty {
		if foreground, err := unix.IoctlGetInt(int(c.input.Fd()), unix.TIOCGPGRP); err == nil && foreground > 0 {
			group = foreground
		}
	}
	_ = syscall.Kill(-group, number)
}

// hangUp ends the command whose client is gone.
func (c *command) hangUp() syscall.WaitStatus {
	_ = syscall.Kill(-c.pid, syscall.SIGHUP)
	timer := time.NewTimer(hangUpTime)
	defer timer.Stop()
	select {
	case status := <-c.ended:
		return status
	case <-timer.C:
	}
	_ = syscall.Kill(-c.pid, syscall.SIGKILL)
	return <-c.ended
}

// noting is a reader that notes when something was read.
func (c *command) noting(from io.Reader) io.Reader {
	return readerFunc(func(buffer []byte) (int, error) {
		n, err := from.Read(buffer)
		c.mu.Lock()
		c.last = time.Now()
		c.mu.Unlock()
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(buffer []byte) (int, error) { return f(buffer) }

// drain waits until all output is on its way: to its end, or, when a child in
// the background keeps it open, until it is quiet.
func (c *command) drain() {
	copied := make(chan struct{})
	go func() { c.copies.Wait(); close(copied) }()
	c.mu.Lock()
	c.last = time.Now()
	c.mu.Unlock()
	tick := time.NewTicker(quietTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-copied:
			return
		case <-tick.C:
			c.mu.Lock()
			quiet := time.Since(c.last) > quietTime
			c.mu.Unlock()
			if quiet {
				for _, file := range c.ours {
					_ = file.SetReadDeadline(time.Now())
				}
				<-copied
				return
			}
		}
	}
}

func (c *command) close() {
	for _, file := range c.ours {
		_ = file.Close()
	}
}

// lookPath finds a command as a shell with that environment would.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return executable(name, dir)
	}
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	var denied error
	for _, candidate := range filepath.SplitList(path) {
		found, err := executable(filepath.Join(candidate, name), dir)
		if err == nil {
			return found, nil
		}
		if errdefs.IsPermissionDenied(err) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s is not on the PATH %s: %w", name, path, errdefs.ErrNotFound)
}

func executable(path, dir string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s can't be reached: %w", path, errdefs.ErrPermissionDenied)
	case err != nil:
		return "", fmt.Errorf("%s is not there: %w", path, errdefs.ErrNotFound)
	case info.IsDir() || unix.Access(path, unix.X_OK) != nil:
		return "", fmt.Errorf("%s is not executable: %w", path, errdefs.ErrPermissionDenied)
	default:
		return path, nil
	}
}
