package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

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

// startCommand finds and starts the command, whose output goes to the writers.
func (b *bottle) startCommand(request *neck.SessionRequest, stdout, stderr io.Writer) (*command, error) {
	path, err := lookPath(request.Argv[0], request.Env, request.Dir)
	if err != nil {
		return nil, err
	}
	process := &exec.Cmd{Path: path, Args: request.Argv, Env: request.Env, Dir: request.Dir}
	c := &command{tty: request.TTY}
	theirs, outputs, err := c.connect(process, request, stdout, stderr)
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
	if request.NoInput && !request.TTY {
		_ = c.input.Close()
	}
	for from, to := range outputs {
		c.copies.Go(func() { _, _ = io.Copy(to, c.noting(from)) })
	}
	return c, nil
}

// connect gives the process a terminal or three pipes, and returns the ends to
// be closed once it has them, and which of our ends goes to which output.
func (c *command) connect(process *exec.Cmd, request *neck.SessionRequest, stdout, stderr io.Writer) ([]*os.File, map[*os.File]io.Writer, error) {
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
		return []*os.File{terminal}, map[*os.File]io.Writer{master: stdout}, pty.Setsize(master, size)
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
	return theirs, map[*os.File]io.Writer{near[1]: stdout, near[2]: stderr}, nil
}

// follow does what the client says until it is gone.
func (c *command) follow(client *neck.Command) {
	for {
		event, err := client.Next()
		if err != nil {
			return
		}
		c.obey(event)
	}
}

// obey does one thing that a client says.
func (c *command) obey(event neck.Event) {
	switch {
	case event.EOF && !c.tty:
		_ = c.input.Close()
	case len(event.Input) > 0:
		// A command that has ended, or closed its input, reads no
		// more: that is its own affair.
		_, _ = c.typed.Write(event.Input)
	case event.Size != nil:
		c.resize(*event.Size)
	case event.Signal != "":
		c.signal(unix.SignalNum(event.Signal))
	}
}

// resize gives the command's terminal another size.
func (c *command) resize(size neck.Size) {
	if !c.tty {
		return
	}
	_ = pty.Setsize(c.input, &pty.Winsize{Cols: size.Columns, Rows: size.Rows})
	c.signal(syscall.SIGWINCH) // gVisor does not send it by itself
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
