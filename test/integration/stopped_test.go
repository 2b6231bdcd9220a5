package integration

import (
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/creack/pty"
)

// TestF6_ATerminalThatStoodStillMissesNothing: the client is stopped, the window resized
// again and again, and the client goes on: each line comes once, and the last size counts.
func TestF6_ATerminalThatStoodStillMissesNothing(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `i=0; while ! test -e stop; do i=$((i+1)); echo "<$i> $(stty size)"; done; exit 7`)
		s := u.OnTerminal("start", "tester", "--yes", "--quiet", "--discard", "--runtime", runtime)
		s.Shows("<3> 30 100")
		client := s.Process.Process
		for round := range 3 {
			if err := client.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			bottletest.Eventually(t, "the client stands still", func() bool { return state(client.Pid) == "T" })
			for i := range 100 {
				size := &pty.Winsize{Cols: uint16(40 + i), Rows: uint16(20 + i)}
				if i == 99 {
					size = &pty.Winsize{Cols: uint16(120 + round), Rows: 45}
				}
				if err := pty.Setsize(s.Master, size); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			s.Shows("45 " + strconv.Itoa(120+round))
		}
		u.Run("exec", "tester", "--", "touch", "stop").Want(t, 0)
		if code := s.Ends(); code != 7 {
			t.Errorf("exit code %d", code)
		}
		lines := regexp.MustCompile(`<(\d+)>`).FindAllStringSubmatch(s.Text(), -1)
		for i, line := range lines {
			if line[1] != strconv.Itoa(i+1) {
				t.Fatalf("line %d is %s", i+1, line[1])
			}
		}
		t.Logf("%d lines came", len(lines))
	})
}

// TestT32_TheUsersLoginStaysOutside: the file in which claude keeps its tokens is no part
// of any bottle, though skills lie beside it.
func TestT32_TheUsersLoginStaysOutside(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		token, hidden := veiledWord("sk-ant-ort01-")
		u.Write("home/.claude/.credentials.json", `{"claudeAiOauth":{"accessToken":"`+token+`","refreshToken":"`+token+`"}}`)
		u.Write("home/.claude/skills/lamp/SKILL.md", "---\nname: lamp\ndescription: polishes\n---\nRub it.\n")
		u.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\nskills: [lamp]\n---\n")
		_, all := attacks(t, u, runtime, "secrets token="+hidden)
		if regexp.MustCompile(`(?m)^found `).MatchString(all) || !regexp.MustCompile(`looked at \d\d+ files, [1-9]`).MatchString(all) {
			t.Errorf("the agent says:\n%s", all)
		}
	})
}
