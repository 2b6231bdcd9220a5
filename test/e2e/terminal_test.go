package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/creack/pty"
)

func TestTUIDrawsResizesAndLeaves(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Text: "A wish is granted."})
			s := u.OnTerminal("start", "tester", "--runtime", runtime)
			s.Shows("launch this agent? [y/N]")
			s.Types("y\n")
			s.Shows(bottletest.Ready)
			s.Types("make a wish")
			s.Shows("make a wish")
			s.Types("\r")
			s.Shows("granted")
			s.Forget()
			if err := pty.Setsize(s.Master, &pty.Winsize{Cols: 60, Rows: 20}); err != nil {
				t.Fatal(err)
			}
			s.Shows(bottletest.Ready)
			if code := leaves(s); code != 0 {
				t.Errorf("exit code %d", code)
			}
			bottletest.Contains(t, s.Text(), "\x1b[?1049l", "\x1b[?25h")
		})
	}
}

// leaves ends claude as a user does: Ctrl-C, and again while claude asks for it, which is
// not long. Who was late for that begins anew.
func leaves(s *bottletest.Screen) (code int) {
	ended := make(chan int, 1)
	go func() { ended <- s.Ends() }()
	for {
		s.Types("\x03")
		s.Shows("again to exit")
		s.Types("\x03")
		select {
		case code := <-ended:
			return code
		case <-time.After(time.Minute):
			s.Forget()
		}
	}
}

func TestT45OnlyAYesOnATerminalLaunches(t *testing.T) {
	u := newUser(t)
	t.Run("pipe", func(t *testing.T) {
		command := u.Command("start", "tester", "--runtime", "runc")
		command.Stdin = strings.NewReader("y\n")
		r := u.RunCommand(command)
		r.Want(t, 125)
		bottletest.Contains(t, r.Stderr, "--yes")
	})
	t.Run("no", func(t *testing.T) {
		s := u.OnTerminal("start", "tester", "--runtime", "runc")
		s.Shows("launch this agent? [y/N]")
		s.Types("\n")
		if code := s.Ends(); code != 125 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("typed ahead", func(t *testing.T) {
		s := u.OnTypedTerminal("y\n", "start", "tester", "--runtime", "runc")
		s.Shows("launch this agent? [y/N]")
		s.Types("\n")
		if code := s.Ends(); code != 125 {
			t.Errorf("exit code %d", code)
		}
	})
	if left := u.Left(); left != "" {
		t.Errorf("made without a yes:\n%s", left)
	}
}

// TestF4_F5_SignalsEndTheSession: TERM takes the bottle down, and a hang-up leaves it to
// who comes back.
func TestF4_F5_SignalsEndTheSession(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(runtime+"/"+signal.String(), func(t *testing.T) {
				u := newUser(t)
				s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
				s.Shows(bottletest.Ready)
				if err := s.Process.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if code := s.Ends(); code != 128+int(signal) {
					t.Errorf("exit code %d, want %d", code, 128+int(signal))
				}
				bottletest.Contains(t, s.Text(), "\x1b[?1049l")
				if signal == syscall.SIGHUP {
					s = u.OnTerminal("attach", "tester")
					s.Shows(bottletest.Ready)
					u.Run("stop", "tester").Want(t, 0)
					s.Ends()
				}
			})
		}
	}
}
