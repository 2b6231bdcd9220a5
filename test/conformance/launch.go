package conformance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func testPrepare(t *testing.T, s *suite) {
	spec := s.spec(t, "planned", "true")
	first, second := s.plan(t, spec), s.plan(t, spec)
	if first.Empty() || first.Name != "planned" || first.Digest() != second.Digest() {
		t.Errorf("planned are %q %s and %q %s", first.Name, first.Digest(), second.Name, second.Digest())
	}
	var shown bytes.Buffer
	if err := first.Print(&shown); err != nil || !strings.Contains(shown.String(), first.Digest()) {
		t.Errorf("shown is %v, %s", err, shown.String())
	}
	if status := s.one(t, "planned"); status != nil {
		t.Errorf("there is %+v", status)
	}
	if left := s.Left(t); left != "" {
		t.Errorf("there is %s", left)
	}
}

func testNames(t *testing.T, s *suite) {
	for _, name := range []string{"-", "A", "a/b", "../a", "a b", "a@b", "a\n", strings.Repeat("a", 41)} {
		if _, err := s.backend.Prepare(t.Context(), s.spec(t, name, "true")); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	spec := s.spec(t, "", "true")
	if plan := s.plan(t, spec); plan.Name != spec.Manifest.Agent.Name {
		t.Errorf("without a name it is %q", plan.Name)
	}
}

// testOneWinner has clients of their own launch one name, F21.
func testOneWinner(t *testing.T, s *suite) {
	const starts = 4
	var (
		mu      sync.Mutex
		winners []backend.Bottle
		all     sync.WaitGroup
	)
	plans := make([]*backend.Plan, starts)
	clients := make([]backend.Backend, starts)
	for i := range starts {
		clients[i] = s.Open(t)
		plans[i] = s.plan(t, s.spec(t, "wanted", "true"))
	}
	for i, plan := range plans {
		all.Go(func() {
			bottle, err := launchPlan(t.Context(), clients[i], plan)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners = append(winners, bottle)
			case !errdefs.IsAlreadyExists(err):
				t.Errorf("a loser hears %v", err)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 || winners[0].Name() != "wanted" {
		t.Fatalf("there are %d winners", len(winners))
	}
	if _, err := s.backend.Prepare(t.Context(), s.spec(t, "wanted", "true")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("planned with the name in use: %v", err)
	}
	if got, err := runs(t, winners[0], "", "claude"); got.code != 0 || err != nil {
		t.Errorf("the winner's claude ends with %+v, %v", got, err)
	}
	closes(t, winners[0])
	again, _ := s.launch(t, s.spec(t, "wanted", "exit 3"))
	if got, err := runs(t, again, "", "claude"); got.code != 3 || err != nil {
		t.Errorf("the next one's claude ends with %+v, %v", got, err)
	}
	closes(t, again)
}

func testRollback(t *testing.T, s *suite) {
	plan := s.plan(t, s.spec(t, "given-up", "true"))
	cause := errors.New("given up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if bottle, err := launchPlan(ctx, s.backend, plan); err == nil {
		closes(t, bottle)
		t.Fatal("it was launched on a context that has ended")
	}
	s.empty(t)
	bottle, _ := s.launch(t, s.spec(t, "given-up", "true"))
	closes(t, bottle)
}

// testPlanIsUsed changes everything that was read, once it was planned.
func testPlanIsUsed(t *testing.T, s *suite) {
	file := filepath.Join(s.cwd, "given")
	if err := os.WriteFile(file, []byte("from here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := s.spec(t, "shown", `cat given; cat "$HOME"/.claude/*/*.md; echo "$WORD"`)
	spec.CopyCwd = true
	spec.Manifest.Agent.Prompt = "be brief\n"
	spec.Manifest.Bottle.Env["WORD"] = "planned"
	spec.Manifest.Bottle.Env["FAKE_CLAUDE_PRINT"] = "args"
	spec.ClaudeArgs = []string{"-p", "two words"}
	plan := s.plan(t, spec)
	defer func() { _ = plan.Workspace.Close() }()
	digest := plan.Digest()
	spec.Manifest.Agent.Prompt = "be long\n"
	spec.Manifest.Bottle.Env["WORD"] = "changed"
	spec.ClaudeArgs[1] = "other words"
	bottle, err := launchPlan(t.Context(), s.backend, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, bottle)
	got, err := runs(t, bottle, "", append([]string{"claude"}, "-p", "two words")...)
	if err != nil || got.code != 0 {
		t.Fatalf("claude ends with %+v, %v", got, err)
	}
	for _, want := range []string{"[--append-system-prompt-file]\n", "[-p]\n[two words]\n", "from here\nbe brief\nplanned\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in %q", want, got.out)
		}
	}
	if status := s.one(t, "shown"); status == nil || status.Plan != digest || plan.Digest() != digest || status.Phase != backend.PhaseRunning {
		t.Errorf("listed is %+v of plan %s", status, digest)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "from here\n" {
		t.Errorf("the host's file is %q, %v", data, err)
	}
}
