package change

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A directory without a .git is a repository itself once it holds what one does.
func TestT19_TheDestinationDoesNotBecomeARepository(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.launch()
	ran := filepath.Join(t.TempDir(), "ran")
	b.edit("file", "2\n")
	b.edit("HEAD", "ref: refs/heads/main\n")
	b.edit("config", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = tree\n\tfsmonitor = \"touch "+ran+"; false\"\n")
	b.edit("objects/info/packs", "\n")
	b.edit("refs/heads/readme", "\n")
	b.edit("tree/file", "\n")
	offer := b.offer(Target{})
	if len(offer.Steps) != 0 || len(offer.Refused) != 6 {
		t.Errorf("steps are %v, refused %q", offer.Steps, told(offer.Refused))
	}
	if err := offer.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := exec.CommandContext(t.Context(), "git", "status")
	status.Dir = b.project
	_ = status.Run() // no repository
	if _, err := os.Stat(ran); err == nil {
		t.Error("something ran")
	}
	offer.Close()
	// With a .git of its own git doesn't look at these.
	b.commit()
	if offer := b.offer(Target{}); len(offer.Refused) != 0 {
		t.Errorf("refused %q", told(offer.Refused))
	}
}
