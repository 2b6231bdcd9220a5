package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is a pair of files that may be a terminal. Its Read gives what is
// typed until Restore.
type Terminal struct {
	in, out *os.File
	isTTY   bool

	mu     sync.Mutex
	saved  *term.State // not nil in raw mode
	output *Filter
	// stop ends a Read that waits: its read end is polled beside in.
	stopRead, stopWrite *os.File
}

// Open looks at the files. It is a terminal when both are; else only IsTerminal,
// and what needs no terminal, can be used. The files stay the caller's.
func Open(in, out *os.File) (*Terminal, error) {
	t := &Terminal{in: in, out: out, isTTY: isTTY(in) && isTTY(out)}
	if !t.isTTY {
		return t, nil
	}
	var err error
	if t.stopRead, t.stopWrite, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	return t, nil
}

func isTTY(file *os.File) bool { return file != nil && term.IsTerminal(int(file.Fd())) }

// Is says that what a program writes there is obeyed by a terminal.
func Is(file interface{ Fd() uintptr }) bool { return term.IsTerminal(int(file.Fd())) }

// IsTerminal says that there is somebody to talk to.
func (t *Terminal) IsTerminal() bool { return t.isTTY }

// Raw hands every key through. Restore undoes it.
func (t *Terminal) Raw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		return nil
	}
	saved, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return err
	}
	t.saved = saved
	return nil
}

// Output is where a program's bytes go: filtered, or as they are with raw. Either
// way Restore knows from it what the program has left behind.
func (t *Terminal) Output(raw bool) io.Writer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.output = newFilter(t.out, raw)
	return t.output
}

// Restore brings the terminal back as it was before Raw: it ends Read, undoes
// the modes that a program set and did not undo, throws away what the terminal
// has answered since, and restores the line settings. It may be called again.
func (t *Terminal) Restore() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return nil
	}
	saved := t.saved
	t.saved = nil
	_ = t.stopWrite.Close()
	if t.output != nil {
		undo, asked := t.output.finish()
		_, _ = t.out.Write(undo)
		if asked {
			t.drainReplies()
		}
	}
	// With what was typed until now thrown away: it was meant for claude.
	flushErr := flush(t.in)
	return errors.Join(term.Restore(int(t.in.Fd()), saved), flushErr)
}

func flush(in *os.File) error {
	return unix.IoctlSetInt(int(in.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}

// replyWait bounds the wait for a terminal's last answer.
const replyWait = 500 * time.Millisecond

// drainReplies asks one more question: since a terminal answers in turn, all
// answers to the program's own questions have come when that one has.
func (t *Terminal) drainReplies() {
	if _, err := t.out.WriteString("\x1b[5n"); err != nil {
		return
	}
	const answer = "\x1b[0n"
	deadline := time.Now().Add(replyWait)
	var seen []byte
	buffer := make([]byte, 256)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		poll := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(left.Milliseconds())+1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		read, err := unix.Read(int(t.in.Fd()), buffer)
		if err != nil || read <= 0 {
			return
		}
		seen = append(seen, buffer[:read]...)
		if len(seen) >= len(answer) && contains(seen, answer) {
			return
		}
		seen = seen[max(0, len(seen)-len(answer)):]
	}
}

func contains(seen []byte, text string) bool {
	for i := range len(seen) - len(text) + 1 {
		if string(seen[i:i+len(text)]) == text {
			return true
		}
	}
	return false
}

// Read gives what is typed, and io.EOF after Restore or a hang-up.
func (t *Terminal) Read(p []byte) (int, error) {
	for {
		poll := []unix.PollFd{
			{Fd: int32(t.in.Fd()), Events: unix.POLLIN},
			{Fd: int32(t.stopRead.Fd()), Events: unix.POLLIN},
		}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return 0, fmt.Errorf("wait for input: %w", err)
		}
		if poll[1].Revents != 0 {
			return 0, io.EOF
		}
		n, err := unix.Read(int(t.in.Fd()), p)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EIO): // the other side has hung up
			return 0, io.EOF
		case err != nil:
			return 0, fmt.Errorf("read terminal: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Sizes sends the terminal's size now and after each change, the last one when
// the receiver is slow. stop ends it and closes the channel.
func (t *Terminal) Sizes(ctx context.Context) (sizes <-chan backend.Size, stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	out := make(chan backend.Size, 1)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		defer signal.Stop(changed)
		for {
			if size, err := t.size(); err == nil {
				select {
				case <-out: // nobody has taken the last one
				default:
				}
				out <- size
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, func() {
		cancel()
		<-ended
	}
}

// maxCells bounds either side of a size: nothing draws on more.
const maxCells = 4096

func (t *Terminal) size() (backend.Size, error) {
	columns, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		return backend.Size{}, err
	}
	return backend.Size{Columns: uint16(min(columns, maxCells)), Rows: uint16(min(rows, maxCells))}, nil
}
