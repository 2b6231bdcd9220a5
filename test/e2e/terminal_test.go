package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/anthropic"
	"github.com/creack/pty"
)

// screen is a command on a PTY, and everything that it has drawn.
type screen struct {
	*fixture
	command *exec.Cmd
	master  *os.File
	mu      sync.Mutex
	drawn   bytes.Buffer
	copied  chan struct{}
}

// onTerminal starts the binary on a PTY of 100 by 30.
func (f *fixture) onTerminal(args ...string) *screen {
	f.Helper()
	s := &screen{fixture: f, command: f.command(args...), copied: make(chan struct{})}
	master, err := pty.StartWithSize(s.command, &pty.Winsize{Cols: 100, Rows: 30})
	if err != nil {
		f.Fatal(err)
	}
	s.master = master
	go func() {
		defer close(s.copied)
		_, _ = io.Copy(writer(s.write), master)
	}()
	f.Cleanup(func() {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
		_ = master.Close()
		<-s.copied
	})
	return s
}

type writer func([]byte)

func (w writer) Write(data []byte) (int, error) { w(data); return len(data), nil }

func (s *screen) write(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn.Write(data)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn.String()
}

// forget starts a new page.
func (s *screen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn.Reset()
}

// sequences are what moves and colours; a program that draws moves over blanks
// instead of writing them.
var sequences = regexp.MustCompile(`\x1b\[[0-9;?<>=]*[ $!]?[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b.|\s`)

// bare is a text without sequences and blanks.
func bare(text string) string { return sequences.ReplaceAllString(text, "") }

// shows waits until the text is on the screen.
func (s *screen) shows(text string) {
	s.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !strings.Contains(bare(s.text()), bare(text)) {
		if time.Now().After(deadline) {
			s.Fatalf("%q was not drawn; drawn was:\n%q", text, s.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *screen) types(text string) {
	s.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// ends waits for the end of the command and returns its exit code.
func (s *screen) ends() int {
	s.Helper()
	done := make(chan struct{})
	go func() { _ = s.command.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(90 * time.Second):
		s.Fatalf("it does not end; drawn was:\n%q", s.text())
	}
	return s.command.ProcessState.ExitCode()
}

// ready is in the footer of claude's prompt once it takes keys.
const ready = "shift+tab"

func TestTUIDrawsResizesAndLeaves(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t, anthropic.Turn{Text: "A wish is granted."})
			s := f.onTerminal("start", "tester", "--runtime", runtime)
			s.shows("launch this agent? [y/N]")
			s.types("y\n")
			s.shows(ready)
			s.types("make a wish")
			s.shows("make a wish")
			s.types("\r")
			s.shows("granted")
			s.forget()
			if err := pty.Setsize(s.master, &pty.Winsize{Cols: 60, Rows: 20}); err != nil {
				t.Fatal(err)
			}
			s.shows(ready)
			s.types("\x03")
			s.shows("again to exit")
			s.types("\x03")
			if code := s.ends(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			contains(t, s.text(), "\x1b[?1049l", "\x1b[?25h")
		})
	}
}

func TestT45OnlyAYesOnATerminalLaunches(t *testing.T) {
	f := newFixture(t)
	t.Run("pipe", func(t *testing.T) {
		command := f.command("start", "tester", "--runtime", "runc")
		command.Stdin = strings.NewReader("y\n")
		r := f.runCommand(command)
		r.want(t, 125)
		contains(t, r.stderr, "--yes")
	})
	t.Run("no", func(t *testing.T) {
		s := f.onTerminal("start", "tester", "--runtime", "runc")
		s.shows("launch this agent? [y/N]")
		s.types("\n")
		if code := s.ends(); code != 125 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("typed ahead", func(t *testing.T) {
		s := f.onTerminal("start", "tester", "--runtime", "runc")
		s.types("y\n")
		s.shows("launch this agent? [y/N]")
		s.types("\n")
		if code := s.ends(); code != 125 {
			t.Errorf("exit code %d", code)
		}
	})
	if left := f.left(); left != "" {
		t.Errorf("made without a yes:\n%s", left)
	}
}

func TestF4SignalsTakeTheBottleDown(t *testing.T) {
	for _, runtime := range runtimes {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(runtime+"/"+signal.String(), func(t *testing.T) {
				f := newFixture(t)
				s := f.onTerminal("start", "tester", "--yes", "--runtime", runtime)
				s.shows(ready)
				if err := s.command.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if code := s.ends(); code != 128+int(signal) {
					t.Errorf("exit code %d, want %d", code, 128+int(signal))
				}
				contains(t, s.text(), "\x1b[?1049l")
			})
		}
	}
}
