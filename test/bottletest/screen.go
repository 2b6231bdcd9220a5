package bottletest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// Screen is a command on a PTY, and everything that it has drawn.
type Screen struct {
	*User
	// Process is the command, Master our side of its terminal.
	Process *exec.Cmd
	Master  *os.File

	mu     sync.Mutex
	drawn  bytes.Buffer
	copied chan struct{}
}

// OnTerminal starts the program on a PTY of 100 by 30.
func (u *User) OnTerminal(args ...string) *Screen {
	u.Helper()
	return u.OnTypedTerminal("", args...)
}

// OnTypedTerminal is OnTerminal for a terminal into which somebody has typed before the
// program begins.
func (u *User) OnTypedTerminal(typed string, args ...string) *Screen {
	u.Helper()
	return u.CommandOnTerminal(typed, u.Command(args...))
}

// CommandOnTerminal is OnTypedTerminal for a command that was changed.
func (u *User) CommandOnTerminal(typed string, command *exec.Cmd) *Screen {
	u.Helper()
	s := &Screen{User: u, Process: command, copied: make(chan struct{})}
	master, terminal, err := pty.Open()
	if err != nil {
		u.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	s.Master = master
	if err := pty.Setsize(master, &pty.Winsize{Cols: 100, Rows: 30}); err != nil {
		u.Fatal(err)
	}
	if typed != "" {
		s.Types(typed)
	}
	s.Process.Stdin, s.Process.Stdout, s.Process.Stderr = terminal, terminal, terminal
	if s.Process.SysProcAttr == nil {
		s.Process.SysProcAttr = &syscall.SysProcAttr{}
	}
	s.Process.SysProcAttr.Setsid, s.Process.SysProcAttr.Setctty = true, true
	if err := s.Process.Start(); err != nil {
		u.Fatal(err)
	}
	go func() {
		defer close(s.copied)
		_, _ = io.Copy(writer(s.write), master)
	}()
	u.Cleanup(func() {
		_ = s.Process.Process.Kill()
		_ = s.Process.Wait()
		_ = master.Close()
		<-s.copied
	})
	return s
}

type writer func([]byte)

func (w writer) Write(data []byte) (int, error) { w(data); return len(data), nil }

func (s *Screen) write(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn.Write(data)
}

// Text is all that was drawn since Forget.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn.String()
}

// Forget starts a new page.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn.Reset()
}

// sequences are what moves and colours; a program that draws moves over blanks
// instead of writing them.
var sequences = regexp.MustCompile(`\x1b\[[0-9;?<>=]*[ $!]?[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b.|\s`)

// bare is a text without sequences and blanks.
func bare(text string) string { return sequences.ReplaceAllString(text, "") }

// Shows waits until the text is on the screen.
func (s *Screen) Shows(text string) {
	s.Helper()
	deadline := time.Now().Add(Patience)
	for !strings.Contains(bare(s.Text()), bare(text)) {
		if time.Now().After(deadline) {
			s.Fatalf("%q was not drawn; drawn was:\n%q", text, s.Text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Types types.
func (s *Screen) Types(text string) {
	s.Helper()
	if _, err := s.Master.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// Ends waits for the end of the command and returns its exit code.
func (s *Screen) Ends() int {
	s.Helper()
	done := make(chan struct{})
	go func() { _ = s.Process.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(Patience):
		s.Fatalf("it does not end; drawn was:\n%q", s.Text())
	}
	return s.Process.ProcessState.ExitCode()
}
