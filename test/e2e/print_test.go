package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/anthropic"
)

func TestPromptIsAnswered(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t, anthropic.Turn{Text: "The genie is out, and in."})
			r := f.start(runtime, "--", "-p", "hello").want(t, 0)
			if got := strings.TrimSpace(r.stdout); got != "The genie is out, and in." {
				t.Errorf("claude said %q\nstderr: %s", got, r.stderr)
			}
		})
	}
}

func TestBashToolWritesIntoTheWorkspace(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t,
				anthropic.Turn{Tools: []anthropic.Tool{{Name: "Bash", Input: map[string]any{"command": "id -u > made.txt; pwd >> made.txt; uname -a >> made.txt", "description": "write"}}}},
				anthropic.Turn{Text: "done"},
			)
			r := f.start(runtime, "--", "-p", "write a file").want(t, 0)
			contains(t, r.stderr, "1 changed files are kept as tester@")
			made, err := filepath.Glob(filepath.Join(f.root, "*", "bottles", "tester-*", "workspace", "made.txt"))
			if err != nil || len(made) != 1 {
				t.Fatalf("made.txt is at %v, %v", made, err)
			}
			data, err := os.ReadFile(made[0])
			if err != nil {
				t.Fatal(err)
			}
			contains(t, string(data), "/workspace")
			eventually(t, "the bottle is listed as kept work", func() bool {
				return strings.HasPrefix(f.run("list", "-o", "name").want(t, 0).stdout, "tester@")
			})
		})
	}
}

func TestPromptFileAndSkillReachTheRequest(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t, anthropic.Turn{Text: "ok"})
			f.write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\nskills: [lamp]\n---\nYou are the genie of the walled garden.\n")
			f.write("home/.claude/skills/lamp/SKILL.md", "---\nname: lamp\ndescription: polishes the brass lamp\n---\nRub it.\n")
			f.start(runtime, "--", "-p", "hello").want(t, 0)
			var bodies strings.Builder
			for _, request := range f.api.Requests() {
				bodies.WriteString(request.Body)
			}
			contains(t, bodies.String(), "You are the genie of the walled garden.", "polishes the brass lamp")
		})
	}
}

func TestExitCodeIsPassedOn(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t, anthropic.Turn{Status: 403})
			f.start(runtime, "--", "-p", "hello").want(t, 1)
			r := f.start(runtime, "--", "--version").want(t, 0)
			contains(t, r.stdout, "Claude Code")
		})
	}
}

func TestDryRunCreatesNothing(t *testing.T) {
	f := newFixture(t)
	r := f.run("start", "tester", "--dry-run", "--runtime", "gvisor", "-o", "json").want(t, 0)
	var plan struct {
		Name    string
		Image   struct{ Digest string }
		Runtime struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &plan); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	if plan.Name != "tester" || plan.Runtime.Name != "gvisor" || !strings.HasPrefix(plan.Image.Digest, "sha256:") {
		t.Errorf("plan is %+v", plan)
	}
	if left := f.left(); left != "" {
		t.Errorf("a dry run made:\n%s", left)
	}
	if len(f.api.Requests()) != 0 {
		t.Error("a dry run called the API")
	}
}
