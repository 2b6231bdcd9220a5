package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/work"
)

func TestI6_ListLooksAtKeptBottlesWhileThereIsTime(t *testing.T) {
	workspace := filepath.Join(t.TempDir(), "workspace")
	if err := os.Mkdir(workspace, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(workspace, "file"), make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	bottles := []backend.Status{
		{ID: "demo-00001", Phase: backend.PhaseKept, Workspace: workspace},
		{ID: "demo-00002", Phase: backend.PhaseRunning, Workspace: workspace},
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	work.Examine(over, bottles, keptBottle)
	if size, unsaved := keptColumns(bottles[0], true); size != "?" || unsaved != "?" {
		t.Errorf("without time it shows %s, %s", size, unsaved)
	}
	work.Examine(t.Context(), bottles, keptBottle)
	size, unsaved := keptColumns(bottles[0], true)
	if bottles[0].Size < 1<<16 || size == "?" || !strings.HasPrefix(unsaved, "all 1 files: ") {
		t.Errorf("it shows %s, %s", size, unsaved)
	}
	if bottles[1].Unsaved != nil {
		t.Error("one that runs was looked at")
	}
}

func TestUnsavedWorkInShort(t *testing.T) {
	for want, unsaved := range map[string]backend.Unsaved{
		"no":                 {Other: 3},
		"unknown":            {Changed: 1, Unknown: "because"},
		"2 files":            {Changed: 2},
		"commits":            {Refs: []string{"main"}, Commits: -1},
		"3 commits, 2 files": {Refs: []string{"main"}, Commits: 3, Changed: 2},
	} {
		if got := inShort(unsaved); got != want {
			t.Errorf("%+v is %q, want %q", unsaved, got, want)
		}
	}
}

func TestT25_TheEndOfASessionShowsForeignTextAsText(t *testing.T) {
	unsaved := backend.Unsaved{
		Handle: "demo@00001", Workspace: "/w", Changed: 1, Paths: []string{"\x1b]0;evil\x07\nclaude-bottle: all is saved"}, Refs: []string{"\u202emain"}, Commits: -1,
	}
	plan := &backend.Plan{Workspace: &backend.WorkTree{Path: "/p\x1b[2J", Head: "1"}}
	for _, plan := range []*backend.Plan{plan, nil} {
		var shown strings.Builder
		printUnsaved(&shown, unsaved, plan)
		if strings.Count(shown.String(), "\n") != 3 || strings.ContainsAny(shown.String(), "\x1b\x07\u202e") {
			t.Errorf("it shows %q", shown.String())
		}
	}
}
