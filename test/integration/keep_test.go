package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// eachRuntime runs a test on the newest containerd and each runtime.
func eachRuntime(t *testing.T, test func(t *testing.T, u *bottletest.User, runtime string)) {
	on(t, []string{"2.4"}, test)
}

// repository makes the project one with a commit.
func repository(t *testing.T, u *bottletest.User) {
	t.Helper()
	u.Write("project/main.go", "package main\n")
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.email", "a@b.c"}, {"config", "user.name", "a"}, {"add", "."}, {"commit", "-qm", "first"},
	} {
		git(t, u, args...)
	}
}

// idle waits until no supervisor is left: what the last bottle leaves is all there.
func idle(t *testing.T, u *bottletest.User) {
	t.Helper()
	bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
}

// TestF27_AKeptBottleGoesOnWhereItEnded: the end of a session says what is unsaved,
// rm leaves it alone, and resume has the same work, home and conversation.
func TestF27_AKeptBottleGoesOnWhereItEnded(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		repository(t, u)
		does(u, "echo one > one.txt; echo mine > ~/.claude.json; mkdir -p ~/.claude/projects/-workspace .git/refs/heads/side"+
			" && echo {} > ~/.claude/projects/-workspace/1.jsonl; printf '%040d\\n' 7 > .git/refs/heads/side/x")
		r := u.Start(runtime, "--cwd", "--quiet").Want(t, 0)
		state := only(t, u.Root, "tester")
		handle := "tester@" + filepath.Base(state)[len("tester-"):]
		bottletest.Contains(t, r.Stderr, "unsaved, kept as "+handle+": commits on side/x; 1 changed file: one.txt\n",
			"claude-bottle fetch "+handle, "resume "+handle, "rm --discard "+handle)
		idle(t, u)
		r = u.Run("rm", "tester").Want(t, 4)
		bottletest.Contains(t, r.Stderr, "commits on side/x; 1 changed file: one.txt", "it holds unsaved work")

		bottle(u, "env:", "  FAKE_CLAUDE_PRINT: args", fmt.Sprintf("  FAKE_CLAUDE_RUN: %q", "cat one.txt ~/.claude.json ~/.claude/settings.json; echo two > two.txt"))
		r = u.Run("resume", "tester", "--yes", "--", "more").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "[--continue]\n[more]", "one", "mine", "bypassPermissions")
		bottletest.Contains(t, r.Stderr, "resume      "+handle, "CHANGED     bottle file", "CHANGED     env FAKE_CLAUDE_PRINT is new", "command was claude, is claude more",
			"commits on side/x; 2 changed files: one.txt, two.txt")
		idle(t, u)
		if again := only(t, u.Root, "tester"); again != state {
			t.Errorf("it went on as %s, and was %s", again, state)
		}
		r = u.Run("resume", handle, "--dry-run", "--", "more").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "same plan as before", "copy of "+u.Cwd)

		does(u, "cat two.txt; echo it-is-up; cat")
		s := u.OnTerminal("resume", "tester", "--yes", "--name", "second")
		s.Shows("it-is-up")
		for _, verb := range []string{"rm", "resume"} {
			bottletest.Contains(t, u.Run(verb, "second").Want(t, 3).Stderr, "runs")
		}
		u.Run("rm", "tester").Want(t, 1)
		s.Types("\x04")
		if code := s.Ends(); code != 0 {
			t.Errorf("it ended with %d", code)
		}
		bottletest.Contains(t, s.Text(), "two")
		idle(t, u)
		u.Run("rm", "tester", "second").Want(t, 1) // both are tried
		if one := named(t, list(t, u), "second"+handle[len("tester"):]); one.Phase != "Kept" {
			t.Errorf("it is %+v", one)
		}
		r = u.Run("gc", "--older-than", "0s", "--yes").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "Nothing to remove", "keep second@", "unsaved: commits on side/x")
		u.Run("gc", "--older-than", "0s", "--discard").Want(t, 1) // there is nobody to say yes
		r = u.Run("gc", "--max-size", "0", "--discard", "--yes").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "remove second@", "LOSES unsaved work: commits on side/x; 2 changed files: one.txt, two.txt")
		if all := list(t, u); len(all) != 0 {
			t.Errorf("there is still %+v", all)
		}
	})
}

// TestF25_AResumeThatFailsLeavesWhatWasKept as it was, also when nothing of it is
// unsaved.
func TestF25_AResumeThatFailsLeavesWhatWasKept(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "echo one > one.txt")
	u.Start("runc", "--quiet").Want(t, 0)
	idle(t, u)
	state := only(t, u.Root, "tester")
	settings := filepath.Join(state, "claude", "settings.json")
	if err := os.Remove(settings); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(settings, "planted"), 0o700); err != nil {
		t.Fatal(err)
	}
	// Nothing is unsaved then.
	if err := os.Remove(filepath.Join(state, "workspace", "one.txt")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(state, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	bottletest.Contains(t, u.Run("resume", "tester", "--yes", "--quiet").Want(t, 125).Stderr, "provision claude settings")
	idle(t, u)
	if after, err := os.ReadFile(filepath.Join(state, "plan.json")); err != nil || string(after) != string(before) {
		t.Errorf("the plan is another, %v", err)
	}
	u.Run("cleanup", "--yes").Want(t, 0)
	if err := os.RemoveAll(settings); err != nil {
		t.Fatal(err)
	}
	// As after a reboot.
	if err := os.RemoveAll(filepath.Join(u.RunRoot, filepath.Base(filepath.Dir(filepath.Dir(state))))); err != nil {
		t.Fatal(err)
	}
	does(u, "exit 7")
	u.Run("resume", "tester", "--yes", "--quiet").Want(t, 7)
	idle(t, u)
	if all := list(t, u); len(all) != 0 {
		t.Errorf("with nothing to keep there is %+v", all)
	}
}

// TestF28_AKeptBottleWithoutItsPlanIsFoundAndGoesOn once it is said which agent.
func TestF28_AKeptBottleWithoutItsPlanIsFoundAndGoesOn(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "echo one > one.txt")
	u.Start("runc", "--quiet").Want(t, 0)
	idle(t, u)
	state := only(t, u.Root, "tester")
	for _, name := range []string{"plan.json", "baseline"} {
		if err := os.WriteFile(filepath.Join(state, name), []byte("\x00garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	strange := filepath.Join(filepath.Dir(state), "Strange")
	if err := os.Mkdir(strange, 0o700); err != nil {
		t.Fatal(err)
	}
	var orphans []listed
	if err := json.Unmarshal([]byte(u.Run("list", "--orphans", "-o", "json").Want(t, 0).Stdout), &orphans); err != nil {
		t.Fatal(err)
	}
	bottletest.Contains(t, u.Run("list", "--orphans").Want(t, 0).Stdout, strange, "no bottle has made it", state, "read plan")
	if len(orphans) != 2 || orphans[1].Name != "Strange" || !strings.Contains(orphans[0].Message, "plan") {
		t.Errorf("orphans are %+v", orphans)
	}
	bottletest.Contains(t, u.Run("resume", "tester", "--yes").Want(t, 125).Stderr, "--agent")
	does(u, "cat one.txt")
	r := u.Run("resume", "tester", "--yes", "--agent", "tester").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "one")
	bottletest.Contains(t, r.Stderr, "can't be read", "what has changed can't be told")
	idle(t, u)
	u.Run("rm", "tester").Want(t, 4)
}
