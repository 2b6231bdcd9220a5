package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

var errNoTerminal = fmt.Errorf("there is no terminal to ask on: %w", errdefs.ErrFailedPrecondition)

// maxAnswer bounds a line that is read as an answer.
const maxAnswer = 1024

// Confirm asks a question and says whether the answer is yes. What was typed
// before the question does not count. Without a terminal it is an error; the end
// of the input is no.
func (t *Terminal) Confirm(ctx context.Context, out io.Writer, question string) (bool, error) {
	answer, err := t.Answer(ctx, out, question)
	return err == nil && (answer == "y" || answer == "yes"), err
}

// Answer asks a question and returns the answer, in lower case and without spaces
// around it. What was typed before the question does not count. Without a terminal
// it is an error; the end of the input is an empty answer.
func (t *Terminal) Answer(ctx context.Context, out io.Writer, question string) (string, error) {
	if !t.isTTY {
		return "", errNoTerminal
	}
	if err := flush(t.in); err != nil {
		return "", fmt.Errorf("throw away typed-ahead input: %w", err)
	}
	if _, err := io.WriteString(out, question); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	answer, err := t.line(ctx)
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return strings.ToLower(strings.TrimSpace(answer)), nil
}

// line reads one line, or until ctx ends.
func (t *Terminal) line(ctx context.Context) (string, error) {
	// The end of ctx makes the poll below return.
	wake, waker, err := pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(wake) }()
	stopped := context.AfterFunc(ctx, func() { _ = unix.Close(waker) })
	defer func() {
		if stopped() {
			_ = unix.Close(waker)
		}
	}()
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxAnswer {
		poll := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return "", fmt.Errorf("wait for answer: %w", err)
		}
		if poll[1].Revents != 0 {
			return "", context.Cause(ctx)
		}
		n, err := unix.Read(int(t.in.Fd()), one)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", fmt.Errorf("read answer: %w", err)
		case n == 0:
			return "", io.EOF
		case one[0] == '\n':
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", fmt.Errorf("the answer is too long: %w", errdefs.ErrInvalidArgument)
}

func pipe() (read, write int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, 0, fmt.Errorf("make pipe: %w", err)
	}
	return ends[0], ends[1], nil
}

// Secret reads one line that is not echoed.
func (t *Terminal) Secret(ctx context.Context) (answer string, err error) {
	if !t.isTTY {
		return "", errNoTerminal
	}
	fd := int(t.in.Fd())
	saved, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read terminal settings: %w", err)
	}
	settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("read terminal settings: %w", err)
	}
	settings.Lflag &^= unix.ECHO
	settings.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, settings); err != nil {
		return "", fmt.Errorf("switch echo off: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(fd, saved)) }()
	return t.line(ctx)
}
