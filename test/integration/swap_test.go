package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// reveals is what claude does: it shows all that a user may have planned.
const reveals = "cat /home/claude/.claude/claude-bottle/system-prompt.md; cd /home/claude; cat .claude/skills/lamp/SKILL.md .claude/skills/lamp/target; " +
	"cat .ssh/keys/*; echo env=$WISH; cat /workspace/file /workspace/link; cat /etc/planted; echo all is shown"

// wisher has one of each thing that a plan can name.
func wisher(t *testing.T, u *bottletest.User) {
	t.Helper()
	u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\nskills: [lamp]\n---\nplanned prompt\n")
	u.Write("home/.claude/skills/lamp/SKILL.md", "---\nname: lamp\ndescription: planned skill\n---\nplanned skill\n")
	u.Write("home/.claude/skills/lamp/target", "planned target\n")
	newKey(t, filepath.Join(u.Home, "key"))
	u.Write("project/file", "planned file\n")
	u.Write("project/link", "planned link\n")
	does(u, reveals, "ssh: [{host: git.example.com, identityFile: ~/key, copy: true}]")
	manifest := filepath.Join(u.Home, ".claude-bottle/bottles/default.md")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("home/.claude-bottle/bottles/default.md", strings.Replace(string(text), "env:\n", "env:\n  WISH: planned\n", 1))
}

// newKey makes a key file anew.
func newKey(t *testing.T, path string) string {
	t.Helper()
	_ = os.Remove(path)
	command := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestT44_WhatWasShownArrivesWhateverIsSwappedMeanwhile changes each input while
// the user is asked: what the plan showed is what arrives.
func TestT44_WhatWasShownArrivesWhateverIsSwappedMeanwhile(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		wisher(t, u)
		key, err := os.ReadFile(filepath.Join(u.Home, "key"))
		if err != nil {
			t.Fatal(err)
		}
		other := image(t, u, "swapped", map[string]string{"usr/local/bin/claude": "attack", "etc/planted": "swapped image\n"})
		s := u.OnTerminal("start", "tester", "--cwd", "--runtime", runtime)
		s.Shows("launch this agent? [y/N]")
		swap(t, u, other)
		s.Types("y\n")
		s.Shows("all is shown")
		s.Ends()
		bare := strings.ReplaceAll(s.Text(), "\r", "")
		bottletest.Contains(t, bare, "planned prompt", "\nplanned skill", "planned target", "env=planned", "planned file", "planned link", string(key))
		if _, shown, _ := strings.Cut(bare, "[y/N]"); strings.Contains(shown, "swapped") || strings.Contains(shown, "root:") {
			t.Errorf("what came later has arrived:\n%s", shown)
		}
		bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
	})
}

// swap changes everything that lies on disk, and what the image's name means.
func swap(t *testing.T, u *bottletest.User, other string) {
	t.Helper()
	u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\n---\nswapped prompt\n")
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+other+"\nenv:\n  WISH: swapped\n  FAKE_CLAUDE_RUN: echo swapped\n---\n")
	u.Write("home/.claude/skills/lamp/SKILL.md", "swapped skill\n")
	target := filepath.Join(u.Home, ".claude/skills/lamp/target")
	if err := errors.Join(os.Remove(target), os.Symlink("/etc/passwd", target)); err != nil {
		t.Fatal(err)
	}
	newKey(t, filepath.Join(u.Home, "key"))
	// Another directory under the name of the one that was planned.
	if err := errors.Join(os.Rename(u.Cwd, u.Cwd+".planned"), os.Mkdir(u.Cwd, 0o700)); err != nil {
		t.Fatal(err)
	}
	u.Write("project/file", "swapped file\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(u.Cwd, "link")); err != nil {
		t.Fatal(err)
	}
	tag(t, u, containerdtest.TestImage, "restored")
	t.Cleanup(func() { tag(t, u, "restored", containerdtest.TestImage) }) // others share the daemon
	tag(t, u, other, containerdtest.TestImage)
}

// tag gives an image another name too.
func tag(t *testing.T, u *bottletest.User, from, to string) {
	t.Helper()
	ctr := exec.Command(filepath.Join(u.Daemon.Libexec, "ctr"), "--address", u.Daemon.Address, "--namespace", bottletest.Namespace,
		"images", "tag", "--local", "--force", from, to)
	if output, err := ctr.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// TestT44_ARuntimeThatIsSwappedIsNotRun puts another program in the place of the
// runtime, and of PID 1, while the user is asked.
func TestT44_ARuntimeThatIsSwappedIsNotRun(t *testing.T) {
	u := installed(t, "2.4", map[string]string{"runc": tool(t, "runc")})
	witness := filepath.Join(t.TempDir(), "witness")
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\necho run > "+witness+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	libexec := filepath.Join(filepath.Dir(filepath.Dir(u.Binary)), "libexec")
	for _, program := range []string{filepath.Join(libexec, "runc"), filepath.Join(filepath.Dir(u.Binary), "bottle-init")} {
		s := u.OnTerminal("start", "tester", "--runtime", "runc")
		s.Shows("launch this agent? [y/N]")
		if err := os.Rename(program, program+".planned"); err != nil {
			t.Fatal(err)
		}
		copyFile(t, evil, program)
		s.Types("y\n")
		s.Shows("has changed since the plan was made")
		if code := s.Ends(); code != 125 {
			t.Errorf("exit code %d", code)
		}
		if err := os.Rename(program+".planned", program); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("the swapped program was run")
	}
	u.Start("runc", "--quiet").Want(t, 0)
}
