package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestF2_AKilledSessionGoesOnWithItsConversation: claude edits and commits, everything
// that belongs to the bottle is killed while it waits for the next answer, and after a
// resume it goes on where it was: with the files, the commit and what was said.
func TestF2_AKilledSessionGoesOnWithItsConversation(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			gate := make(chan struct{})
			u := newUser(t,
				anthropic.Turn{Text: "I polish the lamp.", Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{
					"command": "echo polished > lamp.txt && git add lamp.txt && git commit -qm 'polish the lamp' && echo loose > loose.txt && echo it-shines", "description": "polish",
				}}}},
				anthropic.Turn{Text: "The lamp shines.", Gate: gate},
				anthropic.Turn{Text: "It still shines."},
			)
			inProject(t, u, "init", "-q", "-b", "main")
			u.Write("project/README", "a lamp\n")
			inProject(t, u, "add", ".")
			inProject(t, u, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")

			s := u.OnTerminal("start", "tester", "--cwd", "--yes", "--quiet", "--runtime", runtime, "--", "-p", "please polish the lamp")
			bottletest.Eventually(t, "claude reports what the tool said", func() bool { return lastSaid(u, "it-shines") })
			time.Sleep(time.Second) // what is promised
			for _, pid := range append(append(u.Supervisors(), u.Daemon.Servants(u.RunRoot)...), s.Process.Process.Pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			s.Ends()
			bottletest.Eventually(t, "the supervisor ends", func() bool { return len(u.Supervisors()) == 0 })
			close(gate)
			if got := u.Work("lamp.txt") + u.Work("loose.txt"); got != "polished\nloose\n" {
				t.Errorf("the files hold %q", got)
			}

			before := len(u.API.Requests())
			r := u.Run("resume", "tester", "--yes", "--", "-p", "does it still shine?").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "shines.")
			bottletest.Contains(t, r.Stderr, "claude goes on with its conversation", "1 commit on main; 2 changed files: lamp.txt, loose.txt")
			var asked strings.Builder
			for _, request := range u.API.Requests()[before:] {
				asked.WriteString(request.Body)
			}
			bottletest.Contains(t, asked.String(), "please polish the lamp", "I polish the lamp.", "it-shines", "does it still shine?")
			bottletest.Eventually(t, "the bottle is kept", func() bool { return len(u.Supervisors()) == 0 })
			wide := u.Run("list", "-o", "wide").Want(t, 0)
			bottletest.Contains(t, wide.Stdout, "1 commit on main", "tester@")
			u.Run("rm", "tester").Want(t, 4)
			s = u.OnTerminal("resume", "tester", "--yes", "--quiet")
			s.Shows("does it still shine?")
			s.Shows(bottletest.Ready)
			if err := s.Process.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := s.Ends(); code != 128+int(syscall.SIGTERM) {
				t.Errorf("on a terminal it ended with %d", code)
			}
			bottletest.Eventually(t, "the bottle is kept", func() bool { return len(u.Supervisors()) == 0 })
			u.Run("rm", "tester", "--discard").Want(t, 0)
		})
	}
}

// lastSaid says that the last request to the API holds the text.
func lastSaid(u *bottletest.User, text string) bool {
	requests := u.API.Requests()
	for _, request := range requests {
		if strings.Contains(request.Body, "tool_result") && strings.Contains(request.Body, text) {
			return true
		}
	}
	return false
}

// inProject runs git in the user's project.
func inProject(t *testing.T, u *bottletest.User, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = u.Cwd
	command.Env = append(os.Environ(), "HOME="+filepath.Dir(u.Home), "GIT_CONFIG_NOSYSTEM=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, output)
	}
}
