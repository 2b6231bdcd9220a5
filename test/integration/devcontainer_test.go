package integration

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// inDevcontainer gives the project a devcontainer.json, and the bottle file names the
// project as the source of its image.
func inDevcontainer(u *bottletest.User, text string, lines ...string) (path string) {
	u.Write("project/.devcontainer/devcontainer.json", text)
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {devcontainer: "+u.Cwd+"}\nruntime: runc\n"+strings.Join(lines, "\n")+"\n---\n")
	return filepath.Join(u.Cwd, ".devcontainer", "devcontainer.json")
}

// TestABottleIsMadeAsADevcontainerSays: image, environment, commands and ports, once its
// content is approved, and nothing of what would reach for the host.
func TestABottleIsMadeAsADevcontainerSays(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		port := freePort(t, "127.0.0.1")
		inDevcontainer(u, fmt.Sprintf(`{
	// of the test
	"image": %q,
	"containerEnv": {"GREETING": "from ${containerWorkspaceFolder}", "KEY": "${localEnv:ANTHROPIC_API_KEY}"},
	"postCreateCommand": {"b": ["sh", "-c", "id -u | wc -l >> made"], "a": "echo \"$GREETING,$KEY\" >> made; echo words of a"},
	"forwardPorts": [%s, "db:5432"],
	"mounts": ["source=/,target=/host,type=bind"],
}`, containerdtest.TestImage, port), fmt.Sprintf("env: {FAKE_CLAUDE_RUN: httpd -f -p 127.0.0.1:%s -h /workspace}", port))
		start := []string{"start", "tester", "--yes", "--detach", "--runtime", runtime}
		bottletest.Contains(t, u.Run(start...).Want(t, 125).Stderr, ".devcontainer/devcontainer.json is not approved, and --yes does not cover it")
		s := u.OnTerminal(append(start, "--", "-p", "serve")...)
		s.Shows("Approve it? [y/N]")
		s.Types("y\r")
		if code := s.Ends(); code != 0 {
			t.Fatalf("it ended with %d: %s", code, s.Text())
		}
		bottletest.Contains(t, s.Text(), "GREETING set by devcontainer.json", "mounts of devcontainer.json: a bottle mounts nothing of the host",
			"containerEnv.KEY of devcontainer.json", "forwardPorts db:5432 of devcontainer.json", "words of a")
		made := func() string { return u.Run("exec", "tester", "--", "cat", "made").Want(t, 0).Stdout }
		if got := made(); got != "from /workspace,\n1\n" {
			t.Errorf("the commands have made %q", got)
		}
		forward := u.Command("port-forward", "tester")
		out, err := forward.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := forward.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = forward.Process.Kill(); _ = forward.Wait() }()
		lines := bufio.NewScanner(out)
		lines.Scan()
		address := net.JoinHostPort("127.0.0.1", port)
		if want := fmt.Sprintf("Forwarding from %s -> %s", address, port); lines.Text() != want {
			t.Errorf("it printed %q", lines.Text())
		}
		bottletest.Eventually(t, "the server answers", func() bool { return strings.Contains(fetched(address), "404") })
		u.Run("stop", "tester").Want(t, 0)
		bottletest.Contains(t, u.Run("resume", "tester", "--yes", "--detach", "--", "-p", "serve").Want(t, 0).Stderr, "not now: only a new bottle runs it")
		if got := made(); got != "from /workspace,\n1\n" {
			t.Errorf("resumed, the commands have made %q", got)
		}
		u.Run("stop", "tester").Want(t, 0)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// approved has files of a project approved as they are: their paths, each with its text.
func approved(u *bottletest.User, files ...string) {
	var entries []string
	for pair := range slices.Chunk(files, 2) {
		hash := sha256.Sum256([]byte(pair[1]))
		entries = append(entries, fmt.Sprintf("%q: %q", pair[0], hex.EncodeToString(hash[:])))
	}
	u.Write("home/.claude-bottle/approved.json", "{"+strings.Join(entries, ", ")+"}")
}

// TestF25_AStartWhoseCommandFailsIsUndone: also when it has written files before, and when
// its client is ended, or client, supervisor or both are killed meanwhile.
func TestF25_AStartWhoseCommandFailsIsUndone(t *testing.T) {
	u := newUser(t, "2.4")
	undone := func() {
		t.Helper()
		idle(t, u)
		if got := u.Run("list", "--quiet").Want(t, 0).Stdout; strings.Contains(got, "tester") {
			t.Errorf("it is listed as\n%s", got)
		}
	}
	text := fmt.Sprintf(`{"image": %q, "postCreateCommand": "echo half > half; echo no such package >&2; exit 7"}`, containerdtest.TestImage)
	approved(u, inDevcontainer(u, text, "env: {FAKE_CLAUDE_RUN: echo never}"), text)
	for _, how := range [][]string{{"start", "tester", "--yes"}, {"start", "tester", "--yes", "--detach"}} {
		r := u.Run(how...).Want(t, 125)
		bottletest.Contains(t, r.Stderr, "it ended with code 7 and said last: no such package")
		if strings.Contains(r.Stdout, "never") {
			t.Error("claude was started")
		}
		undone()
	}
	text = fmt.Sprintf(`{"image": %q, "postCreateCommand": ["sh", "-c", "echo half > half; echo begun; exec tail -f /dev/null"]}`, containerdtest.TestImage)
	approved(u, inDevcontainer(u, text), text)
	for _, victim := range []string{"interrupted", "client", "supervisor", "both"} {
		command := u.Command("start", "tester", "--yes", "--detach")
		said, err := command.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(said); lines.Scan() && lines.Text() != "begun"; {
		}
		signal, killed := syscall.SIGKILL, []int{command.Process.Pid}
		switch victim {
		case "interrupted":
			signal = syscall.SIGINT
		case "supervisor":
			killed = u.Supervisors()
		case "both":
			killed = append(killed, u.Supervisors()...)
		}
		for _, pid := range killed {
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.Copy(io.Discard, said)
		_ = command.Wait()
		if want, ok := map[string]int{"interrupted": 130, "supervisor": 125}[victim]; ok && command.ProcessState.ExitCode() != want {
			t.Errorf("%s: it ended with %d", victim, command.ProcessState.ExitCode())
		}
		bottletest.Eventually(t, "the supervisor is gone", func() bool { return len(u.Supervisors()) == 0 })
		if victim == "both" {
			u.Run("cleanup", "--yes").Want(t, 0)
		}
		undone()
	}
}

// TestAUserWhoIsNotRootHasADevcontainerToo: the client reads it, asks for it, and runs its
// commands over the way that the controller gives.
func TestAUserWhoIsNotRootHasADevcontainerToo(t *testing.T) {
	u := newUser(t, "2.4")
	place := u.NewPlace()
	c := serves(t, u, place)
	one := account(t, u, place, "aladdin", aladdin, "exec cat", groupOf(t))
	start := func(command string, code int) bottletest.Result {
		t.Helper()
		text := fmt.Sprintf(`{"image": %q, "containerEnv": {"GREETING": "hello"}, "postCreateCommand": %q, "forwardPorts": [8080]}`, containerdtest.TestImage, command)
		approved(one.User, inDevcontainer(one.User, text), text)
		one.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {devcontainer: "+one.Cwd+"}\nenv: {FAKE_CLAUDE_RUN: exec cat}\n---\n")
		one.Own()
		return one.Run("start", "tester", "--yes", "--detach").Want(t, code)
	}
	bottletest.Contains(t, start("echo $GREETING > made", 0).Stderr, one.Cwd+"/.devcontainer/devcontainer.json", "GREETING set by devcontainer.json", "ports       8080")
	if got := one.Run("exec", "tester", "--", "cat", "made").Want(t, 0).Stdout; got != "hello\n" {
		t.Errorf("the command has made %q", got)
	}
	one.Run("stop", "tester").Want(t, 0)
	one.Run("rm", "tester", "--discard").Want(t, 0)
	bottletest.Contains(t, start("echo half > half; exit 7", 125).Stderr, "it ended with code 7 and said nothing")
	idle(t, u)
	if got := one.Run("list", "-o", "name").Want(t, 0).Stdout; got != "" {
		t.Errorf("of the one whose command failed is left %q", got)
	}
	c.ends(t)
}

// TestT46_NoDockerfileOfARepositoryIsBuiltBeforeItIsApproved: with a stand-in for buildctl.
func TestT46_NoDockerfileOfARepositoryIsBuiltBeforeItIsApproved(t *testing.T) {
	u := newUser(t, "2.4")
	command := standIn(t, u)
	const text = `{"build": {"dockerfile": "../Dockerfile", "context": "..", "args": {"A": "b", "HOST": "${localEnv:HOME}"}}}`
	u.Write("home/web/.devcontainer/devcontainer.json", text)
	u.Write("home/web/Dockerfile", "FROM scratch\n")
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {devcontainer: ~/web}\nruntime: runc\nenv: {FAKE_CLAUDE_RUN: echo inside}\n---\n")
	start := []string{"start", "tester", "--yes"}
	bottletest.Contains(t, u.RunCommand(command(start...)).Want(t, 125).Stderr, "web/.devcontainer/devcontainer.json is not approved")
	if _, err := os.Stat(filepath.Join(u.Home, "asked")); err == nil {
		t.Error("BuildKit was asked")
	}
	file, made := filepath.Join(u.Home, "web", ".devcontainer", "devcontainer.json"), filepath.Join(u.Home, "web", "Dockerfile")
	approved(u, file, text, made, "FROM other\n")
	bottletest.Contains(t, u.RunCommand(command(start...)).Want(t, 125).Stderr, "web/Dockerfile is not approved")
	if _, err := os.Stat(filepath.Join(u.Home, "asked")); err == nil {
		t.Error("BuildKit was asked")
	}
	approved(u, file, text, made, "FROM scratch\n")
	r := u.RunCommand(command(start...)).Want(t, 0)
	bottletest.Contains(t, r.Stdout, "inside\n")
	bottletest.Contains(t, r.Stderr, "context    "+u.Home+"/web\n", "argument   A=b\n", "build.args.HOST of devcontainer.json")
	if asked, err := os.ReadFile(filepath.Join(u.Home, "asked")); err != nil || strings.Contains(string(asked), "HOST=") {
		t.Errorf("BuildKit was asked %s, %v", asked, err)
	}
	// And no recipe that goes on from an image of such a file's choice.
	more := fmt.Sprintf(`{"image": %q}`, containerdtest.TestImage)
	u.Write("home/web/.devcontainer/devcontainer.json", more)
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {devcontainer: ~/web, run: [echo "+rand.Text()+" > /made]}\nruntime: runc\nenv: {FAKE_CLAUDE_RUN: wc -l /made}\n---\n")
	start = append(start, "--runtime", "runc")
	if r := u.Run(start...).Want(t, 125); !strings.Contains(r.Stderr, "is not approved") || strings.Contains(r.Stderr, "step 1 of 1") {
		t.Errorf("it was built: %s", r.Stderr)
	}
	approved(u, file, more)
	bottletest.Contains(t, u.Run(start...).Want(t, 0).Stdout, "1 /made\n")
	idle(t, u)
	u.Run("image", "rm", "claude-bottle.localhost/default:latest").Want(t, 0)
}
