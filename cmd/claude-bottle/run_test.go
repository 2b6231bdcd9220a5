package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestEachLineIsATask(t *testing.T) {
	got, err := readTasks(strings.NewReader("first task\r\n\n  - a list, too\n#12 is a number\n   \nlast"))
	if want := []string{"first task", "- a list, too", "#12 is a number", "last"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("tasks are %q, %v", got, err)
	}
	for _, bad := range []string{"", "\n \n", "a\x00b", strings.Repeat("x", maxTask+1), strings.Repeat("x\n", maxTasks+1)} {
		if got, err := readTasks(strings.NewReader(bad)); err == nil {
			t.Errorf("%d tasks were read of %.20q", len(got), bad)
		}
	}
}

func TestNumbersGoOnWhereOthersHaveThem(t *testing.T) {
	for want, used := range map[int][]string{
		1: {"claude", "claude-x", "claudette-9", "claude-1x", "claude-007x"},
		4: {"claude-3@k3x9p", "claude-1"},
		8: {"claude-7", "claude-2@00000"},
	} {
		if got := firstFree("claude", used); got != want {
			t.Errorf("after %q comes %d, want %d", used, got, want)
		}
	}
}

func TestRunRefusesWhatCantBeMeant(t *testing.T) {
	good := runOptions{startOptions: startOptions{agent: "claude"}, prompt: "x", count: 1, parallel: 1}
	if err := good.check(true); err != nil || good.name != "claude" {
		t.Errorf("%q, %v", good.name, err)
	}
	for name, change := range map[string]func(*runOptions){
		"no task":       func(o *runOptions) { o.prompt = "" },
		"two tasks":     func(o *runOptions) { o.each = "file" },
		"each, counted": func(o *runOptions) { o.prompt, o.each = "", "file" },
		"none":          func(o *runOptions) { o.count = 0 },
		"too many":      func(o *runOptions) { o.count = maxTasks + 1 },
		"none at once":  func(o *runOptions) { o.parallel = 0 },
		"keep and rm":   func(o *runOptions) { o.keep, o.removeAll = true, true },
		"long name":     func(o *runOptions) { o.name = strings.Repeat("n", backend.MaxNameLength) },
	} {
		o := good
		change(&o)
		if err := o.check(true); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func TestATableRowSaysWhatBecameOfTheWork(t *testing.T) {
	id := backend.ID{Name: "claude-1", Suffix: "00001"}
	none := &runResult{Name: "claude-1"}
	if got := none.cell(); got != "not started" || none.exit() != "-" || none.succeeded() {
		t.Errorf("%s %s", got, none.exit())
	}
	ran := &runResult{Name: "claude-1"}
	ran.begins(id)
	if got := ran.cell(); got != "see claude-1@00001" {
		t.Error(got)
	}
	ran.ends(backend.Outcome{ExitCode: 0})
	ran.made(backend.Unsaved{})
	ran.Handle = ""
	if got := ran.cell(); got != "none" || !ran.succeeded() {
		t.Error(got)
	}
	ran.begins(id)
	ran.made(backend.Unsaved{Changed: 2, Refs: []string{"main"}, Commits: 1})
	if got := ran.cell(); got != "1 commit, 2 files, kept as claude-1@00001" {
		t.Error(got)
	}
	ran.Work.Repository, ran.Error = "/project", "broken"
	if got := ran.cell(); got != "1 commit, 2 files in refs/bottle/claude-1/, kept as claude-1@00001" || ran.succeeded() {
		t.Error(got)
	}
}

func TestOfMuchTheEndIsHeld(t *testing.T) {
	held := tail{most: 5}
	for _, piece := range []string{"abc", "", "defg", "h"} {
		held.add([]byte(piece))
	}
	if string(held.text) != "defgh" {
		t.Errorf("held is %q", held.text)
	}
}

func TestATaskThatBeginsWithADashIsNoOption(t *testing.T) {
	got := claudeArguments("--help me", []string{"--max-turns", "3"})
	if want := []string{"-p", "--max-turns", "3", "--", "--help me"}; !slices.Equal(got, want) {
		t.Errorf("arguments are %q", got)
	}
}

func TestABottleThatIsNotWhatWasSaidYesToIsNotStarted(t *testing.T) {
	plan := func(image, task, settings string) *backend.Plan {
		return &backend.Plan{
			Agent: "agent", Bottle: "bottle", Image: backend.PlanImage{Reference: "image", Digest: image, Platform: "linux/amd64"}, Command: []string{"claude", "-p", "--", task},
			Inputs: []backend.Input{{Kind: backend.InputSettings, Name: "home settings", SHA256: settings}},
		}
	}
	if err := sameBut(plan("a", "one", "x"), plan("a", "two", "y")); err != nil {
		t.Error(err)
	}
	if err := sameBut(plan("a", "one", "x"), plan("b", "one", "x")); err == nil || !strings.Contains(err.Error(), "image") {
		t.Errorf("another image gave %v", err)
	}
}
