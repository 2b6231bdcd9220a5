package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestRunHasClaudeDoEachTaskAndBringsItsCommitHome: also a task that begins with a dash
// is a task to claude.
func TestRunHasClaudeDoEachTaskAndBringsItsCommitHome(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t,
				anthropic.Turn{Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{
					"command": "hostname > lamp.txt && git add lamp.txt && git commit -qm 'polish the lamp'", "description": "polish",
				}}}},
				anthropic.Turn{Text: "The lamp shines."},
			)
			inProject(t, u, "init", "-q", "-b", "main")
			u.Write("project/README", "a lamp\n")
			inProject(t, u, "add", ".")
			inProject(t, u, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
			command := u.Command("run", "tester", "--cwd", "--each", "-", "--yes", "--quiet", "--runtime", runtime, "-o", "json")
			command.Stdin = strings.NewReader("polish the lamp\n- polish it, too\n")
			var list []struct {
				Name, Said, Handle string
				ExitCode           int
			}
			r := u.RunCommand(command).Want(t, 0)
			if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil || len(list) != 2 {
				t.Fatalf("%v: it printed %s", err, r.Stdout)
			}
			for _, one := range list {
				if one.ExitCode != 0 || one.Said != "The lamp shines.\n" || one.Handle != "" {
					t.Errorf("there is %+v", one)
				}
				if lamp := bottletest.Git(t, u.Cwd, "show", "refs/bottle/"+one.Name+"/heads/main:lamp.txt"); lamp != one.Name {
					t.Errorf("%s brought %q", one.Name, lamp)
				}
			}
			var asked strings.Builder
			for _, request := range u.API.Requests() {
				asked.WriteString(request.Body)
			}
			bottletest.Contains(t, asked.String(), `"polish the lamp"`, `"- polish it, too"`)
		})
	}
}

// TestRestartGoesOnWithTheConversation of a claude that waits for an answer.
func TestRestartGoesOnWithTheConversation(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			gate := make(chan struct{})
			u := newUser(t,
				anthropic.Turn{Text: "I polish the lamp.", Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{
					"command": "echo polished > lamp.txt && echo it-shines", "description": "polish",
				}}}},
				anthropic.Turn{Text: "The lamp shines.", Gate: gate},
				anthropic.Turn{Text: "It still shines."},
			)
			u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime, "--", "-p", "please polish the lamp").Want(t, 0)
			bottletest.Eventually(t, "claude reports what the tool said", func() bool { return lastSaid(u, "it-shines") })
			before := len(u.API.Requests())
			u.Run("restart", "tester", "--yes", "--quiet", "--", "-p", "does it still shine?").Want(t, 0)
			close(gate)
			if r := u.Run("wait", "tester", "--timeout", "4m", "-o", "exit-code").Want(t, 0); r.Stdout != "0\n" {
				t.Errorf("claude ended with %s", r.Stdout)
			}
			bottletest.Contains(t, u.Run("logs", "tester").Want(t, 0).Stdout, "shines.")
			var asked strings.Builder
			for _, request := range u.API.Requests()[before:] {
				asked.WriteString(request.Body)
			}
			bottletest.Contains(t, asked.String(), "please polish the lamp", "I polish the lamp.", "it-shines", "does it still shine?")
			if work := u.Work("lamp.txt"); work != "polished\n" {
				t.Errorf("the file holds %q", work)
			}
			u.Run("rm", "tester", "--discard").Want(t, 0)
		})
	}
}
