package integration

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestExecRunsBesideClaude: streams, codes, environment, a terminal, and no bottle.
func TestExecRunsBesideClaude(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		s := newShell(t, u, runtime, "runs")
		s.does("echo mine > /workspace/file")
		if got := u.Run("exec", "runs", "--", "cat", "file").Want(t, 0); got.Stdout != "mine\n" {
			t.Errorf("it said %q", got.Stdout)
		}
		command := u.Command("exec", "runs", "-i", "--", "sh", "-c", "cat; echo aside >&2; exit 7")
		command.Stdin = strings.NewReader("typed\n")
		if got := u.RunCommand(command).Want(t, 7); got.Stdout != "typed\n" || got.Stderr != "aside\n" {
			t.Errorf("it said %q and %q", got.Stdout, got.Stderr)
		}
		if got := u.Run("exec", "runs", "--", "cat").Want(t, 0); got.Stdout != "" {
			t.Errorf("without -i it read %q", got.Stdout)
		}
		command = u.Command("exec", "runs", "-e", "GIVEN=one two", "-e", "HERE", "--", "sh", "-c", `echo "$GIVEN,$HERE,$ANTHROPIC_API_KEY,$(id -u)"; test "$HOME" = /home/claude`)
		command.Env = append(command.Env, "HERE=here")
		if got := u.RunCommand(command).Want(t, 0); !strings.HasPrefix(got.Stdout, "one two,here,,") {
			t.Errorf("its environment is %q", got.Stdout)
		}
		u.Run("exec", "runs", "--", "nothing-of-that-name").Want(t, 127)
		u.Run("exec", "runs", "--", "/etc/passwd").Want(t, 126)
		bottletest.Contains(t, u.Run("exec", "runs").Want(t, 125).Stderr, "a command after --")
		bottletest.Contains(t, u.Run("exec", "runs", "-e", "NOT_SET_HERE", "--", "true").Want(t, 125).Stderr, "NOT_SET_HERE=VALUE")
		bottletest.Contains(t, u.Run("exec", "runs", "-t", "--", "true").Want(t, 125).Stderr, "needs a terminal")
		bottletest.Contains(t, u.Run("exec", "nobody", "--", "true").Want(t, 125).Stderr, "nobody")

		screen := u.OnTerminal("exec", "runs", "-it", "--", "sh", "-c", "stty size; read line; echo got $line; exit 5")
		screen.Shows("30 100")
		screen.Types("hello\r")
		screen.Shows("got hello")
		if code := screen.Ends(); code != 5 {
			t.Errorf("on a terminal it ended with %d", code)
		}
		s.does("echo more >> /workspace/file")
		s.end()
		bottletest.Contains(t, u.Run("exec", "runs", "--", "true").Want(t, 125).Stderr, "resume runs@")
	})
}
