package work

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// settleAll notes everything as brought home, but for what was committed since.
func settleAll(t *testing.T, work *backend.Work) {
	t.Helper()
	now, err := ledger.Now(t.Context(), work)
	if err == nil {
		_, err = ledger.Settle(work, now, func(string) bool { return true })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestF27_ARefThatDidNotComeIsUnsavedWhateverTheFilesSay(t *testing.T) {
	work, git := kept(t)
	object := git("commit-tree", "-p", "HEAD", "-m", "two", "HEAD^{tree}")
	git("update-ref", "refs/wip/side", object)
	settleAll(t, work)
	if unsaved := unsavedNow(t, work); !slices.Equal(unsaved.Refs, []string{"wip/side"}) {
		t.Errorf("unsaved is %+v", unsaved)
	}
}

func TestF27_CommitsOfWorktreesAndSubmodulesAreWork(t *testing.T) {
	work, git := kept(t)
	workspace := work.Place(backend.PlaceWorkspace)
	other := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", other},
		{"-C", other, "commit", "-q", "--allow-empty", "-m", "theirs"},
		{"worktree", "add", "-q", "--detach", filepath.Join(t.TempDir(), "away")},
		{"-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "lib/objects"},
	} {
		git(args...)
	}
	git("commit", "-q", "-m", "with a submodule")
	note(t, work)
	if unsaved := unsavedNow(t, work); unsaved.Any() {
		t.Fatalf("at first: %+v", unsaved)
	}
	sub := filepath.Join(workspace, ".git", "modules", "lib", "objects")
	object := git("--git-dir", sub, "commit-tree", "-p", "HEAD", "-m", "two", "HEAD^{tree}")
	git("--git-dir", sub, "update-ref", "refs/heads/idea", object)
	git("--git-dir", filepath.Join(workspace, ".git", "worktrees", "away"), "update-ref", "--no-deref", "HEAD",
		git("commit-tree", "-p", "HEAD", "-m", "away", "HEAD^{tree}"))
	put(t, work, ".git/rebase-merge/autostash", git("commit-tree", "-p", "HEAD", "-m", "aside", "HEAD^{tree}"))
	want := []string{".git/modules/lib/objects/heads/idea", ".git/worktrees/away/HEAD", "rebase-merge/autostash"}
	if unsaved := unsavedNow(t, work); !slices.Equal(unsaved.Refs, want) || unsaved.Unknown != "" {
		t.Errorf("unsaved is %+v", unsaved)
	}
}

func TestF27_ContentOfLargeFilesIsWork(t *testing.T) {
	work, _ := kept(t)
	put(t, work, ".git/lfs/objects/ab/cd/abcd", "large")
	if unsaved := unsavedNow(t, work); !slices.Contains(unsaved.Paths, ".git/lfs/objects/ab/cd/abcd") {
		t.Errorf("unsaved is %+v", unsaved)
	}
}

func TestF2_WorkWhoseApplyWasCutIsNotGivenUp(t *testing.T) {
	work, _ := kept(t)
	area := work.Path(backend.StateApply)
	if err := errors.Join(os.Mkdir(area, 0o700), os.WriteFile(filepath.Join(area, backend.ApplyJournal), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if unsaved := unsavedNow(t, work); !unsaved.Any() || !strings.Contains(unsaved.Unknown, "apply") {
		t.Errorf("unsaved is %+v", unsaved)
	}
}

func TestT17_RefsOfManyRepositoriesAreBounded(t *testing.T) {
	work, _ := kept(t)
	const each = 1 << 20
	line := []byte("# " + strings.Repeat("x", 61) + "\n")
	text := string(bytes.Repeat(line, each/len(line)))
	put(t, work, ".git/modules/0/packed-refs", text)
	first := filepath.Join(work.Place(backend.PlaceWorkspace), ".git", "modules", "0", "packed-refs")
	for i := range maxPackedRefs/each + 1 {
		name := ".git/modules/" + strconv.Itoa(i)
		put(t, work, name+"/HEAD", "ref: refs/heads/main\n")
		if i > 0 {
			if err := os.Link(first, filepath.Join(work.Place(backend.PlaceWorkspace), name, "packed-refs")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if unsaved := unsavedNow(t, work); !strings.Contains(unsaved.Unknown, "packed") {
		t.Errorf("unsaved is %+v", unsaved)
	}
}
