package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// countsLives is a claude that adds a line to its work each time, and keeps a conversation.
const countsLives = `echo again >> /workspace/count; mkdir -p ~/.claude/projects/-workspace; echo {} > ~/.claude/projects/-workspace/acb3466d-926f-45f0-9799-56de01cbbcb5.jsonl; echo has $(cat /workspace/count | wc -l) lines; while :; do sleep 0.1; done`

// TestRestartGoesOnWithWorkAndConversation: the same arguments in a new sandbox, of a
// bottle that runs and of one that has ended; what differs is asked about.
func TestRestartGoesOnWithWorkAndConversation(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		printing := []string{"env:", "  FAKE_CLAUDE_PRINT: args", "  FAKE_CLAUDE_RUN: '" + countsLives + "'"}
		bottle(u, printing...)
		u.Run("start", "tester", "--yes", "--quiet", "--detach", "--label", "a=b", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
		hasSaid(t, u, "has 1 lines")
		id := named(t, list(t, u), "tester").ID
		r := u.Run("restart", "tester").Want(t, 0)
		if r.Stdout != "tester\n" {
			t.Errorf("it printed %q", r.Stdout)
		}
		bottletest.Contains(t, r.Stderr, "same plan as before", "claude goes on with its conversation")
		hasSaid(t, u, "[--resume]\n[acb3466d-926f-45f0-9799-56de01cbbcb5]\n[-p]\n[count]\nhas 2 lines")
		if now := named(t, list(t, u), "tester"); now.ID != id || now.Phase != string(backend.PhaseRunning) || !now.Detached {
			t.Errorf("it is %+v", now)
		}

		bottle(u, append(printing, "resources:", "  memory: 3Gi")...)
		bottletest.Contains(t, u.Run("restart", "tester").Want(t, 1).Stderr, "memory was 4.0 GiB, is 3.0 GiB", "not launched")
		bottletest.Contains(t, u.Run("restart", "tester", "--dry-run").Want(t, 0).Stdout, "memory was")
		if strings.Contains(u.Run("logs", "tester").Want(t, 0).Stdout, "has 3 lines") {
			t.Error("it was restarted without a yes")
		}
		u.Run("restart", "tester", "--yes", "--quiet", "--", "-p", "count on").Want(t, 0)
		hasSaid(t, u, "[-p]\n[count on]\nhas 3 lines")
		u.Run("stop", "tester").Want(t, 0)
		u.Run("restart", "tester", "--quiet").Want(t, 0)
		hasSaid(t, u, "[-p]\n[count on]\nhas 4 lines")
		if labels := u.Run("list", "-o", "json").Want(t, 0).Stdout; !strings.Contains(labels, `"a": "b"`) {
			t.Errorf("its labels are lost: %s", labels)
		}
		u.Run("stop", "tester").Want(t, 0)
		u.Run("rm", "tester", "--discard").Want(t, 0)
		u.Run("restart", "tester").Want(t, 1)
	})
}

func TestRestartLeavesABottleToTheClientThatHoldsIt(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, echoes)
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc")
	s.Shows("ready")
	bottletest.Contains(t, u.Run("restart", "tester").Want(t, 1).Stderr, "belongs to the client that started it")
	s.Types("end\r")
	if code := s.Ends(); code != 7 {
		t.Errorf("claude ended with %d", code)
	}
	idle(t, u)
	if left, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(left) > 0 {
		t.Errorf("left is %q", left)
	}
}

// hasSaid waits until claude has said that.
func hasSaid(t *testing.T, u *bottletest.User, text string) {
	t.Helper()
	bottletest.Eventually(t, "it says "+text, func() bool { return strings.Contains(u.Run("logs", "tester").Stdout, text) })
}
