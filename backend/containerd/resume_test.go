package containerd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func TestTheLastConversationGoesOn(t *testing.T) {
	kept := &backend.Work{ID: backend.ID{Name: "demo", Suffix: "00001"}, State: t.TempDir()}
	sessions := filepath.Join(kept.Place(backend.PlaceClaude), conversations)
	args := func(given ...string) []string {
		t.Helper()
		spec, _, err := resumeSpec(backend.Spec{Resume: kept, ClaudeArgs: given})
		if err != nil {
			t.Fatal(err)
		}
		return spec.ClaudeArgs
	}
	if got := args("x"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("without one: %v", got)
	}
	if err := os.MkdirAll(sessions, 0o700); err != nil {
		t.Fatal(err)
	}
	const older, newer = "acb3466d-926f-45f0-9799-56de01cbbcb5", "bcb3466d-926f-45f0-9799-56de01cbbcb5"
	for i, name := range []string{"agent-1.jsonl", older + ".jsonl", newer + ".jsonl", "--evil.jsonl"} {
		path, at := filepath.Join(sessions, name), time.Unix(int64(1000+i), 0)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		want := [][]string{{"--continue"}, {"--resume", older}, {"--resume", newer}, {"--resume", newer}}[i]
		if got := args("x"); !slices.Equal(got, append(want, "x")) {
			t.Errorf("with %s: %v", name, got)
		}
	}
	if got := args("-r", "other"); !slices.Equal(got, []string{"-r", "other"}) {
		t.Errorf("with another one asked for: %v", got)
	}
	kept.Running = true
	if _, _, err := resumeSpec(backend.Spec{Resume: kept}); !errdefs.IsConflict(err) {
		t.Errorf("one that runs: %v", err)
	}
}
