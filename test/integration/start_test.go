package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

func TestClaudeGetsItsArgumentsEnvironmentAndDirectory(t *testing.T) {
	on(t, everyVersion(), func(t *testing.T, u *bottletest.User, runtime string) {
		bottle(u, "env:", "  FAKE_CLAUDE_PRINT: args env cwd id", "  LITERAL: a literal", `  FORWARDED: "${HOST_SIDE}"`)
		u.Write("home/.claude-bottle/agents/tester.md", "---\nmodel: opus\n---\nBe brief.\n")
		command := u.Command("start", "tester", "--yes", "--runtime", runtime, "--", "-p", "two words", "--flag", "ünï", "")
		command.Env = append(command.Env, "HOST_SIDE=from the host", "LD_PRELOAD=/evil.so", "SECRET_OF_THE_HOST=x")
		r := u.RunCommand(command).Want(t, 0)
		bottletest.Contains(t, r.Stdout, "[-p]\n[two words]\n[--flag]\n[ünï]\n[]\n", "[--model]\n[opus]\n", "LITERAL=a literal\n", "FORWARDED=from the host\n", "\n/workspace\n", "HOME=/home/claude\n")
		for _, not := range []string{"SECRET_OF_THE_HOST", "LD_PRELOAD", bottletest.Key, "uid=0"} {
			if strings.Contains(r.Stdout, not) {
				t.Errorf("%s got in:\n%s", not, r.Stdout)
			}
		}
	})
}

func TestStandardStreamsAreByteExact(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "cat; echo to stderr >&2; exit 42")
		input := make([]byte, 3<<20)
		random := rand.NewChaCha8([32]byte{7})
		_, _ = random.Read(input)
		command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime)
		command.Stdin = bytes.NewReader(input)
		r := u.RunCommand(command).Want(t, 42)
		if got, want := hash([]byte(r.Stdout)), hash(input); got != want {
			t.Errorf("%d bytes went in, %d came out, and they differ", len(input), len(r.Stdout))
		}
		if r.Stderr != "to stderr\n" {
			t.Errorf("stderr is %q", r.Stderr)
		}
	})
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestF13_ExitCodesAndChildrenThatStay(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			for command, code := range map[string]int{
				"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -TERM $$": 143, "exit 125": 125, "setsid sleep 1000 & exit 5": 5, "(sleep 1000 &) ; exit 6": 6,
			} {
				does(u, command)
				if r := u.Start(runtime); r.Code != code {
					t.Errorf("%s: exit code %d, want %d\n%s", command, r.Code, code, r.Stderr)
				}
			}
		})
	}
}

func TestWorkingDirectoryGoesInWithItsGit(t *testing.T) {
	on(t, everyVersion(), func(t *testing.T, u *bottletest.User, runtime string) {
		for _, args := range [][]string{
			{"init", "-q", "-b", "main"}, {"config", "user.email", "a@b.c"}, {"config", "user.name", "a"},
			{"remote", "add", "origin", "https://user:wish-canary@example.com/x.git"},
		} {
			git(t, u, args...)
		}
		u.Write("project/main.go", "package main\n")
		u.Write("project/.gitignore", "ignored\n")
		u.Write("project/ignored", "x")
		u.Write("project/.env", "TOKEN=wish-canary\n")
		git(t, u, "add", "main.go", ".gitignore")
		git(t, u, "commit", "-qm", "first")
		does(u, "cat main.go .git/config; ls -a; test -w main.go && echo changed >> main.go")
		r := u.Run("start", "tester", "--yes", "--cwd", "--runtime", runtime).Want(t, 0)
		bottletest.Contains(t, r.Stdout, "package main", "https://example.com/x.git", ".gitignore")
		for _, not := range []string{"wish-canary", "\nignored\n", "\n.env\n"} {
			if strings.Contains(r.Stdout, not) {
				t.Errorf("%q went in:\n%s", not, r.Stdout)
			}
		}
		bottletest.Contains(t, r.Stderr, "unsaved, kept as tester@", "1 changed file: main.go", "claude-bottle diff tester@", "apply tester@", "resume tester@", "rm --discard tester@")
		bottletest.Contains(t, u.Work("main.go"), "changed")
		if data, err := os.ReadFile(filepath.Join(u.Cwd, "main.go")); err != nil || string(data) != "package main\n" {
			t.Errorf("the host's file is %q, %v", data, err)
		}
	})
}

func git(t *testing.T, u *bottletest.User, args ...string) {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir = u.Cwd
	command.Env = append(os.Environ(), "HOME="+u.Home, "GIT_CONFIG_NOSYSTEM=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, output)
	}
}

func TestDiscardKeepsNothing(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			does(u, "echo work > work.txt")
			u.Start(runtime, "--discard").Want(t, 0)
			bottletest.Eventually(t, "the workspace goes", func() bool {
				files, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*"))
				return len(files) == 0
			})
		})
	}
}

func TestListAndInfoInEveryFormat(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "echo ready; cat")
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc", "--name", "my-bottle")
	s.Shows("ready")
	bottletest.Contains(t, u.Run("list").Want(t, 0).Stdout, "NAME", "my-bottle", "Running", "tester")
	if got := u.Run("list", "active", "-o", "name").Want(t, 0).Stdout; got != "my-bottle\n" {
		t.Errorf("list -o name says %q", got)
	}
	var listed []map[string]any
	if err := json.Unmarshal([]byte(u.Run("list", "-o", "json").Want(t, 0).Stdout), &listed); err != nil || len(listed) != 1 || listed[0]["phase"] != "Running" {
		t.Errorf("list -o json says %v, %v", listed, err)
	}
	bottletest.Contains(t, u.Run("list", "-o", "yaml").Want(t, 0).Stdout, "name: my-bottle")
	bottletest.Contains(t, u.Run("list", "-o", "wide").Want(t, 0).Stdout, "runc", "WHY THIS RUNTIME", "asked for")
	bottletest.Contains(t, u.Run("list", "available").Want(t, 0).Stdout, "tester", "default")
	bottletest.Contains(t, u.Run("info", "tester").Want(t, 0).Stdout, "bottle", "default", "sha256:")
	s.Types("\x04")
	if code := s.Ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	bottletest.Eventually(t, "nothing is listed", func() bool { return u.Run("list", "-o", "name").Stdout == "" })
}

func TestTimingsNameEachStep(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	r := u.Start("runc", "--timings", "--quiet").Want(t, 0)
	bottletest.Contains(t, r.Stderr, "prepare", "provision", "create task", "claude", "total")
}
