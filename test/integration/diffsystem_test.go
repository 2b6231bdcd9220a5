package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestDiffSystemTellsWhatHasChangedOutsideTheMounts compares a bottle with a new one
// of its image, which leaves nothing behind.
func TestDiffSystemTellsWhatHasChangedOutsideTheMounts(t *testing.T) {
	u := newUser(t, "2.4")
	reference := image(t, u, "system", map[string]string{
		"usr/local/bin/claude": "attack", "opt/": "", "opt/deleted": "x", "opt/replaced": "the image's", "opt/stays": "x", "etc/hostname": "x",
	})
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			does(u, "true")
			command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime, "--image", reference, "--name", "changes", "--", "system", "/opt")
			in, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = in.Close()
				_ = command.Wait()
				bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
				kept := filepath.Base(only(t, u.Root, "changes"))
				bottletest.Contains(t, u.Run("diff", "changes@"+kept[len("changes-"):], "--system").Want(t, 1).Stderr, "went with its sandbox")
				if err := os.RemoveAll(only(t, u.Root, "changes")); err != nil {
					t.Fatal(err)
				}
			}()
			bottletest.Eventually(t, "the bottle is changed", func() bool { return len(workspaces(t, u, "changes", "done")) == 1 })
			want := "A /opt/added\nD /opt/deleted\nA /opt/made/\nA /opt/made/link  -> \"added\\x1b[2J\"\nM /opt/replaced  mode 0755 -> 0600\n"
			if got := u.Run("diff", "changes", "--system").Want(t, 0).Stdout; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			var document struct {
				Changes []struct{ Path, Kind, Target string }
			}
			if err := json.Unmarshal([]byte(u.Run("diff", "changes", "--system", "-o", "json").Want(t, 0).Stdout), &document); err != nil || len(document.Changes) != 5 {
				t.Errorf("got %+v, %v", document, err)
			}
			if found := list(t, u); len(found) != 1 || found[0].Name != "changes" {
				t.Errorf("there are %+v", found)
			}
		})
	}
}
