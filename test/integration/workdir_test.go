package integration

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestT18_WhatGoesInIsWhatThePlanSays: what stays, and why, is in the plan; the
// flags that let it go along do just that.
func TestT18_WhatGoesInIsWhatThePlanSays(t *testing.T) {
	u := newUser(t, "2.4")
	git(t, u, "init", "-q", "-b", "main")
	u.Write("project/.gitignore", "ignored\n")
	u.Write("project/.bottleignore", "big/\n")
	for _, name := range []string{"main.go", "ignored", "big/data", ".env"} {
		u.Write("project/"+name, "x\n")
	}
	u.Write("project/notes.txt", "the token: gh"+"p_x8Kq2ZrV5tYw3NbM7cLdF1gHjP9sQaEu4R6i\n")
	git(t, u, "add", "main.go", ".gitignore", ".bottleignore", "big")
	git(t, u, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
	does(u, "find . -path ./.git -prune -o -type f -print | sort; cat .git/config")

	planned := u.Run("start", "tester", "--cwd", "--dry-run", "--runtime", "runc", "-o", "json").Want(t, 0)
	var plan struct {
		Workspace *backend.WorkTree
		Warnings  []string
	}
	if err := json.Unmarshal([]byte(planned.Stdout), &plan); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]backend.Omission{}
	for _, omission := range plan.Workspace.Omitted {
		reasons[omission.Path] = omission
	}
	for path, want := range map[string]backend.Omission{
		"ignored":   {Path: "ignored", Reason: backend.ReasonIgnored},
		"big":       {Path: "big", Reason: backend.ReasonBottleIgnore, Tracked: true},
		".env":      {Path: ".env", Reason: backend.ReasonSecretName},
		"notes.txt": {Path: "notes.txt", Reason: backend.ReasonSecret, Rule: "github-pat"},
	} {
		if reasons[path] != want {
			t.Errorf("%s: %+v, want %+v", path, reasons[path], want)
		}
	}
	if warnings := strings.Join(plan.Warnings, "\n"); !strings.Contains(warnings, "copied history: big") {
		t.Errorf("warnings are %q", warnings)
	}

	bottletest.Contains(t, u.Run("start", "tester", "--include-secrets", "--dry-run").Want(t, 125).Stderr, "add --cwd")
	r := u.Start("runc", "--cwd").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "./.bottleignore\n./.gitignore\n./main.go\n", "minimal")
	bottletest.Contains(t, r.Stderr, "1 named in .bottleignore", "big (named in .bottleignore, tracked by git)", "notes.txt (holds a secret: github-pat)")
	r = u.Start("runc", "--cwd", "--include-ignored", "--include-secrets").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "./.bottleignore\n./.env\n./.gitignore\n./ignored\n./main.go\n./notes.txt\n")
	bottletest.Contains(t, r.Stderr, "(--include-ignored)", "2 files or directories that look like secrets go in (--include-secrets): .env, notes.txt")
}

// TestALinkedWorktreeIsARepositoryOfItsOwnInside, with the submodule that is
// checked out in it, and without what stays.
func TestALinkedWorktreeIsARepositoryOfItsOwnInside(t *testing.T) {
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		linked := u.Cwd
		project := func(dir string, args ...string) {
			t.Helper()
			u.Cwd = filepath.Join(filepath.Dir(linked), dir)
			git(t, u, append([]string{"-c", "protocol.file.allow=always"}, args...)...)
			u.Cwd = linked
		}
		u.Write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n")
		for _, dir := range []string{"part", "origin"} {
			u.Write(dir+"/main.go", "package main\n")
			u.Write(dir+"/.env", "TOKEN=wish-canary\n")
			project(dir, "init", "-q", "-b", "main")
			project(dir, "add", ".")
			project(dir, "commit", "-qm", "first of "+dir)
		}
		project("origin", "submodule", "--quiet", "add", "../part", "part")
		project("origin", "commit", "-qm", "second")
		project("origin", "worktree", "add", "-q", "-b", "side", "../project")
		project("project", "submodule", "--quiet", "update", "--init")
		said := script(t, u, runtime, "", `git log --format=%s; git -C part log --format=%s; find . -name .env
git status --porcelain; echo new > main.go; git add -A; git commit -qm third; git show --stat --format='%an %s %D'
git fsck --connectivity-only && echo whole`)
		bottletest.Contains(t, said, "second\nfirst of origin\nfirst of part\n?? bin/\n?? kept\n", "Aladdin third HEAD -> side\n", "3 files changed", "whole\n")
		if strings.Contains(said, "canary") || strings.Contains(said, ".env") {
			t.Error("what stays is gone, or came along")
		}
	})
}
