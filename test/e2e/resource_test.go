package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestADeclaredPromptIsAnswered, though it looks like an option, by the real claude, which
// is not asked twice.
func TestADeclaredPromptIsAnswered(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Text: "The genie was told in a file."})
			u.Write("home/task.yaml", "apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\nmetadata: {name: task}\nspec:\n  agent: tester\n  runtimeClassName: "+runtime+
				"\n  prompt: --help is what I say\n  args: [--max-turns, '3']\n")
			path := filepath.Join(u.Home, "task.yaml")
			u.Run("apply", "-f", path, "--yes").Want(t, 0)
			bottletest.Eventually(t, "the bottle is finished", func() bool {
				return strings.HasPrefix(u.Run("get", "task", "--no-headers").Want(t, 0).Stdout, "task   False   Completed   0")
			})
			if said := u.Run("logs", "task").Want(t, 0).Stdout; said != "The genie was told in a file.\n" {
				t.Errorf("claude said %q", said)
			}
			told := ""
			for _, request := range u.API.Requests() {
				told += string(request.Body)
			}
			if !strings.Contains(told, "--help is what I say") {
				t.Errorf("the API was told %s", told)
			}
			if again := u.Run("apply", "-f", path, "--yes").Want(t, 0); !strings.HasSuffix(again.Stdout, " unchanged\n") {
				t.Errorf("it printed %q", again.Stdout)
			}
			u.Run("delete", "-f", path).Want(t, 0)
		})
	}
}
