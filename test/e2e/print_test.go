package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

func TestPromptIsAnswered(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Text: "The genie is out, and in."})
			r := u.Start(runtime, "--", "-p", "hello").Want(t, 0)
			if got := strings.TrimSpace(r.Stdout); got != "The genie is out, and in." {
				t.Errorf("claude said %q\nstderr: %s", got, r.Stderr)
			}
		})
	}
}

func TestBashToolWritesIntoTheWorkspace(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t,
				anthropic.Turn{Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{"command": "id -u > made.txt; pwd >> made.txt; uname -a >> made.txt", "description": "write"}}}},
				anthropic.Turn{Text: "done"},
			)
			r := u.Start(runtime, "--", "-p", "write a file").Want(t, 0)
			bottletest.Contains(t, r.Stderr, "unsaved, kept as tester@", "1 changed file: made.txt")
			made, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "tester-*", "workspace", "made.txt"))
			if err != nil || len(made) != 1 {
				t.Fatalf("made.txt is at %v, %v", made, err)
			}
			data, err := os.ReadFile(made[0])
			if err != nil {
				t.Fatal(err)
			}
			bottletest.Contains(t, string(data), "/workspace")
			bottletest.Eventually(t, "the bottle is listed as kept work", func() bool {
				return strings.HasPrefix(u.Run("list", "-o", "name").Want(t, 0).Stdout, "tester@")
			})
		})
	}
}

func TestPromptFileAndSkillReachTheRequest(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Text: "ok"})
			u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\nskills: [lamp]\n---\nYou are the genie of the walled garden.\n")
			u.Write("home/.claude/skills/lamp/SKILL.md", "---\nname: lamp\ndescription: polishes the brass lamp\n---\nRub it.\n")
			u.Start(runtime, "--", "-p", "hello").Want(t, 0)
			var bodies strings.Builder
			for _, request := range u.API.Requests() {
				bodies.WriteString(request.Body)
			}
			bottletest.Contains(t, bodies.String(), "You are the genie of the walled garden.", "polishes the brass lamp")
		})
	}
}

func TestExitCodeIsPassedOn(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Status: 403})
			u.Start(runtime, "--", "-p", "hello").Want(t, 1)
			r := u.Start(runtime, "--", "--version").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "Claude Code")
		})
	}
}

func TestDryRunCreatesNothing(t *testing.T) {
	u := newUser(t)
	r := u.Run("start", "tester", "--dry-run", "--runtime", "gvisor", "-o", "json").Want(t, 0)
	var plan struct {
		Name    string
		Image   struct{ Digest string }
		Runtime struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.Stdout), &plan); err != nil {
		t.Fatalf("%v in %s", err, r.Stdout)
	}
	if plan.Name != "tester" || plan.Runtime.Name != "gvisor" || !strings.HasPrefix(plan.Image.Digest, "sha256:") {
		t.Errorf("plan is %+v", plan)
	}
	if left := u.Left(); left != "" {
		t.Errorf("a dry run made:\n%s", left)
	}
	if len(u.API.Requests()) != 0 {
		t.Error("a dry run called the API")
	}
}
