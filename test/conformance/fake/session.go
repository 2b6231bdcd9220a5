package fake

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/creack/pty"
)

// ExecClaude implements backend.Bottle.
func (b *bottle) ExecClaude(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	command, code, err := b.command(argv)
	if err != nil {
		return code, err
	}
	if terminal.TTY {
		return b.onTerminal(ctx, command, terminal)
	}
	input, err := command.StdinPipe()
	if err != nil {
		return exitOurs, fmt.Errorf("run claude: %w", err)
	}
	command.Stdout, command.Stderr = terminal.Out, terminal.Err
	if err := b.start(command, command.Start); err != nil {
		return exitOurs, fmt.Errorf("run claude: %w", err)
	}
	defer b.over(command)
	stop := context.AfterFunc(ctx, func() { kill(command, syscall.SIGKILL) })
	defer stop()
	// Its input may never end: nobody waits for that.
	go func() {
		if terminal.In != nil {
			_, _ = io.Copy(input, terminal.In)
		}
		_ = input.Close()
	}()
	_ = command.Wait()
	return ended(ctx, command)
}

func (b *bottle) onTerminal(ctx context.Context, command *exec.Cmd, terminal backend.Terminal) (int, error) {
	s, err := b.begin(command, terminal.Size)
	if err != nil {
		return exitOurs, err
	}
	stop := context.AfterFunc(ctx, func() { kill(command, syscall.SIGKILL) })
	defer stop()
	go func() { _, _ = io.Copy(s.master, terminal.In) }()
	_ = s.show(context.WithoutCancel(ctx), terminal.Out)
	return ended(ctx, command)
}

// ended is how a command that was waited for has ended.
func ended(ctx context.Context, command *exec.Cmd) (int, error) {
	if ctx.Err() != nil {
		return exitOurs, fmt.Errorf("run claude: %w", context.Cause(ctx))
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return command.ProcessState.ExitCode(), nil
}

// session is claude on a PTY, and all that it has said.
type session struct {
	command *exec.Cmd
	master  *os.File

	mu      sync.Mutex
	changed *sync.Cond
	said    []byte
	over    bool
}

// begin starts a command on a PTY. What follows a first size is passed on, too.
func (b *bottle) begin(command *exec.Cmd, sizes <-chan backend.Size) (*session, error) {
	s := &session{command: command}
	s.changed = sync.NewCond(&s.mu)
	command.SysProcAttr = nil // a session of its own is a group of its own
	err := b.start(command, func() (err error) {
		size := &pty.Winsize{Cols: 80, Rows: 24}
		if sizes != nil {
			first := <-sizes
			size = &pty.Winsize{Cols: first.Columns, Rows: first.Rows}
		}
		s.master, err = pty.StartWithSize(command, size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run claude: %w", err)
	}
	go func() {
		defer b.over(command)
		buffer := make([]byte, 4096)
		for {
			n, err := s.master.Read(buffer)
			s.note(buffer[:n], false)
			if err != nil {
				break
			}
		}
		_ = command.Wait()
		_ = s.master.Close()
		s.note(nil, true)
	}()
	return s, nil
}

func (s *session) note(data []byte, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said, s.over = append(s.said, data...), s.over || over
	s.changed.Broadcast()
}

// show writes all that was and will be said, until claude or ctx ends.
func (s *session) show(ctx context.Context, w io.Writer) error {
	stop := context.AfterFunc(ctx, func() { s.note(nil, false) })
	defer stop()
	for from := 0; ; {
		s.mu.Lock()
		for from == len(s.said) && !s.over && ctx.Err() == nil {
			s.changed.Wait()
		}
		news, over := s.said[from:], s.over
		s.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(news) == 0 && over {
			return nil
		}
		if _, err := w.Write(news); err != nil {
			return err
		}
		from += len(news)
	}
}

// Begin implements backend.Detacher. On pipes claude would need more to be kept of it:
// here it is on a PTY in any case.
func (b *bottle) Begin(_ context.Context, argv []string, _ bool) error {
	command, _, err := b.command(argv)
	if err != nil {
		return err
	}
	s, err := b.begin(command, nil)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
	return nil
}

// Detach implements backend.Detacher.
func (b *bottle) Detach(ctx context.Context) error {
	b.mu.Lock()
	s := b.session
	b.mu.Unlock()
	if s == nil {
		return fmt.Errorf("detach from %s: claude was not begun: %w", b.id.Name, errdefs.ErrFailedPrecondition)
	}
	b.backend.mu.Lock()
	defer b.backend.mu.Unlock()
	b.detached = true
	b.backend.note(b, backend.EventNormal, "Started", "claude runs")
	started := time.Now()
	ctx = context.WithoutCancel(ctx) // it outlives who detaches
	go func() {
		_ = s.show(ctx, io.Discard)
		b.finish(ctx, started, s)
	}()
	return nil
}

// finish notes how it went with a detached bottle's claude, and keeps what is left.
func (b *bottle) finish(ctx context.Context, started time.Time, s *session) {
	code, _ := ended(ctx, s.command)
	b.backend.mu.Lock()
	if b.outcome == nil {
		b.outcome = &backend.Outcome{Started: started, Finished: time.Now(), ExitCode: code, Reason: backend.ReasonCompleted}
		kind := backend.EventNormal
		if code != 0 {
			b.outcome.Reason, kind = backend.ReasonError, backend.EventWarning
		}
		b.backend.note(b, kind, b.outcome.Reason, fmt.Sprintf("claude ended with code %d", code))
	}
	dead := b.dead
	b.backend.mu.Unlock()
	if !dead {
		b.backend.takeDown(ctx, b, false)
	}
}

// live is a bottle as a client reaches it.
type live struct{ *bottle }

var _ backend.Live = live{}

// Attach implements backend.Live: the screen is all that was said.
func (l live) Attach(ctx context.Context, options backend.AttachOptions, terminal backend.Terminal) (int, error) {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	if s == nil {
		return exitOurs, fmt.Errorf("claude of %s is not detached: %w", l.id.Name, errdefs.ErrNotFound)
	}
	if !options.ReadOnly {
		go func() { _, _ = io.Copy(s.master, terminal.In) }()
	}
	if err := s.show(ctx, terminal.Out); err != nil {
		return exitOurs, err
	}
	return ended(ctx, s.command)
}

// Forward implements backend.Live: the loopback inside is that of this host.
func (l live) Forward(ctx context.Context, port uint16) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
}

// Halt implements backend.Live.
func (l live) Halt(ctx context.Context) error {
	l.backend.mu.Lock()
	if l.outcome == nil {
		l.outcome = &backend.Outcome{Started: l.created, Finished: time.Now(), ExitCode: 128 + int(syscall.SIGTERM), Reason: backend.ReasonStopped}
	}
	l.backend.mu.Unlock()
	l.backend.takeDown(context.WithoutCancel(ctx), l.bottle, false)
	return nil
}

// Close implements backend.Live.
func (l live) Close() error { return nil }
