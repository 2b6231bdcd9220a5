package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestT20_DiffAndApply is the way of changed files home, from the real agent's end:
// shown, asked for, applied.
func TestT20_DiffAndApply(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			git(t, u, "init", "-q", "-b", "main")
			u.Write("project/main.go", "package main\n")
			u.Write("project/Makefile", "all:\n")
			u.Write("project/old", "old\n")
			git(t, u, "add", "-A")
			git(t, u, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
			u.Write("project/notes", "one\n")
			does(u, `echo "// claude" >> main.go; echo "	rm -rf /" >> Makefile; rm old; echo two >> notes
				printf 'evil \033[2K\033]0;title\007 line\n' > new; ln -s /etc/shadow shadow; mkdir .GIT; echo x > .GIT/config`)
			u.Run("start", "tester", "--yes", "--cwd", "--runtime", runtime).Want(t, 0)

			idle(t, u)
			kept := list(t, u)[0]
			bottletest.Contains(t, u.Run("__complete", "rm", "").Want(t, 0).Stdout, kept.Name+"\n")
			if twice := u.Run("__complete", "rm", kept.Name, "").Want(t, 0).Stdout; strings.Contains(twice, kept.Name) {
				t.Errorf("a bottle is proposed twice: %s", twice)
			}
			r := u.Run("diff", "tester").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "--- a/main.go\n+++ b/main.go\n", "+// claude\n", "-old\n", " one\n+two\n", "+evil \x1b[2K")
			if strings.Contains(r.Stdout, "root:") || r.Stderr != "" {
				t.Errorf("a link was followed, or stderr is not empty: %s", r.Stderr)
			}
			bottletest.Contains(t, u.Run("diff", "tester", "--stat", "main.go").Want(t, 0).Stdout, " main.go | 1 +\n 1 file changed, 1 insertion(+)\n")
			if names := u.Run("diff", "tester", "--name-only").Want(t, 0).Stdout; names != ".GIT/config\nMakefile\nmain.go\nnew\nnotes\nold\nshadow\n" {
				t.Errorf("names are %q", names)
			}
			var document struct{ Changes []map[string]any }
			if err := json.Unmarshal([]byte(u.Run("diff", "tester", "-o", "json", "Makefile").Want(t, 0).Stdout), &document); err != nil || len(document.Changes) != 1 || document.Changes[0]["runs"] == nil {
				t.Errorf("json is %v, %v", document, err)
			}
			s := u.OnTerminal("diff", "tester")
			s.Shows("+evil ^[[2K^[]0;title^G line")
			if code := s.Ends(); code != 0 {
				t.Errorf("exit code %d", code)
			}

			untouched := func() {
				t.Helper()
				if data, _ := os.ReadFile(filepath.Join(u.Cwd, "main.go")); string(data) != "package main\n" {
					t.Errorf("main.go is %q", data)
				}
			}
			bottletest.Contains(t, u.Run("apply", "tester").Want(t, 1).Stderr, "! write   Makefile", "make and other builders", "refused .GIT/config", "refused shadow", "nothing was applied")
			untouched()
			bottletest.Contains(t, u.Run("apply", "tester", "--yes").Want(t, 1).Stderr, "such as Makefile", "--include-autorun")
			untouched()
			var review struct {
				Steps   []struct{ Path, Action, Runs string }
				Refused []struct{ Path, Note string }
			}
			if err := json.Unmarshal([]byte(u.Run("apply", "tester", "--dry-run", "-o", "json").Want(t, 0).Stdout), &review); err != nil || len(review.Steps) != 5 || len(review.Refused) != 2 || review.Steps[0].Runs == "" || review.Steps[0].Action != "write" {
				t.Errorf("the review is %+v, %v", review, err)
			}
			untouched()
			s = u.OnTerminal("apply", "tester")
			s.Shows("Makefile, which runs by itself (make and other builders run it)? [y/N/show/quit]")
			s.Forget()
			s.Types("show\n")
			s.Shows("+	rm -rf /")
			s.Shows("[y/N/show/quit]") // again: what is typed before does not count
			s.Forget()
			s.Types("shwo\n")
			s.Shows("quit applies nothing")
			s.Shows("[y/N/show/quit]")
			s.Types("\n")
			s.Shows("apply 4 files? [y/N]")
			s.Types("y\n")
			if code := s.Ends(); code != 0 {
				t.Errorf("exit code %d: %s", code, s.Text())
			}
			for name, want := range map[string]string{"main.go": "package main\n// claude\n", "Makefile": "all:\n", "notes": "one\ntwo\n", "old": "", "shadow": "", ".GIT/config": ""} {
				if data, _ := os.ReadFile(filepath.Join(u.Cwd, name)); string(data) != want {
					t.Errorf("%s is %q, want %q", name, data, want)
				}
			}
			u.Write("project/main.go", "package other\n")
			bottletest.Contains(t, u.Run("apply", "tester", "--yes", "--include-autorun").Want(t, 3).Stderr, "conflict main.go", "claude-bottle merge tester@")
			u.Run("apply", "tester", "Makefile", "--yes", "--include-autorun").Want(t, 0)
			if data, _ := os.ReadFile(filepath.Join(u.Cwd, "Makefile")); !strings.Contains(string(data), "rm -rf") {
				t.Errorf("Makefile is %q", data)
			}
			if now := list(t, u)[0]; !now.Created.Equal(kept.Created) {
				t.Errorf("it ended at %v, and at %v once its work was applied", kept.Created, now.Created)
			}
		})
	}
}
