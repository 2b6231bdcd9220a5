package change

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

func TestChangesOfEachKind(t *testing.T) {
	b := newProject(t)
	for _, name := range []string{"clean", "touched", "removed", "script", "dirty", "dir/deep", "becomes-link", "rewritten"} {
		b.put(name, name+"\n")
	}
	must(t, os.Symlink("clean", filepath.Join(b.project, "link")))
	b.commit()
	b.put("dirty", "changed before\n")
	b.put("untracked", "untracked\n")
	b.launch()
	b.wantChanges()

	b.edit("clean", "claude was here\n")
	b.edit("touched", "touched\n")
	b.edit("dirty", "changed before, and again\n")
	b.edit("untracked", "untracked\n")
	b.edit("new/file", "")
	must(t, os.Remove(b.inside("removed")))
	must(t, os.Chmod(b.inside("script"), 0o755))
	must(t, os.Remove(b.inside("link")))
	must(t, os.Symlink("dirty", b.inside("link")))
	must(t, os.Remove(b.inside("becomes-link")))
	must(t, os.Symlink("clean", b.inside("becomes-link")))
	must(t, os.Remove(b.inside("rewritten")))
	b.edit("rewritten", "rewritten\n")
	must(t, unix.Mkfifo(b.inside("fifo"), 0o600))
	must(t, os.RemoveAll(b.inside("dir")))
	b.edit("dir", "a file now\n")
	b.wantChanges("type becomes-link", "modified clean", "added dir", "deleted dir/deep", "modified dirty",
		"added fifo a FIFO: not comparable", "modified link", "added new/file", "deleted removed", "mode script")
}

func TestChangesOutsideOfARepository(t *testing.T) {
	b := newProject(t)
	b.put("a", "1\n")
	b.put("b", "1\n")
	b.launch()
	b.edit("a", "1\n")
	b.edit("b", "2\n")
	b.edit("c", "2\n")
	b.wantChanges("modified b", "added c")
	if patch, _ := b.patch("b"); !strings.Contains(patch, "-1\n+2\n") {
		t.Errorf("patch is\n%s", patch)
	}
}

// Content that git converts is not what its object holds.
func TestWhatWentInIsWhatLayInTheTree(t *testing.T) {
	b := newProject(t)
	ran := filepath.Join(t.TempDir(), "ran")
	b.put(".gitattributes", "*.crlf text eol=crlf\n*.id ident\n*.rot filter=rot\n*.utf16 text working-tree-encoding=UTF-16\n")
	b.git("init", "-q")
	b.git("config", "filter.rot.clean", "touch "+ran+"; tr a-z n-za-m")
	b.put("a.crlf", "one\r\ntwo\r\n")
	b.put("a.id", "$Id$\n")
	b.put("a.rot", "secret\n")
	b.put("a.utf16", "\xff\xfea\x00\n\x00")
	b.put("skipped", "one\n")
	b.commit()
	b.git("checkout", "-q", "--", ".")
	b.git("update-index", "--assume-unchanged", "skipped")
	b.put("skipped", "two\n")
	must(t, os.Remove(filepath.Join(b.project, "a.id")))
	b.git("checkout", "a.id")
	must(t, os.RemoveAll(ran))
	b.put("a.rot", "secret\n")
	b.launch()
	if _, err := os.Stat(ran); err == nil {
		t.Error("a filter ran")
	}
	for _, name := range []string{"a.crlf", "a.id", "a.rot", "a.utf16", "skipped"} {
		was := b.host(name)
		b.edit(name, was)
	}
	b.wantChanges()
	b.edit("a.crlf", "one\r\n2\r\n")
	if patch, _ := b.patch(); !strings.Contains(patch, "-two\r\n+2\r\n") {
		t.Errorf("patch is %q", patch)
	}
}

func TestAFileThatChangedWhileItWentInIsNotAtHand(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.launch()
	must(t, os.Chtimes(b.inside("file"), time.Now(), time.Now().Add(-time.Hour)))
	b.baseline() // as if the copy had another version than the base
	b.edit("file", "2\n")
	b.wantChanges("modified file " + noteBefore)
	patch, hidden := b.patch()
	if patch != "" || len(hidden) != 1 {
		t.Errorf("patch is %q, hidden are %v", patch, hidden)
	}
	offer := b.offer(Target{})
	if len(offer.Conflicts) != 1 || len(offer.Steps) != 0 {
		t.Errorf("offer is %+v", offer)
	}
}

func TestBaseIsReadWholeOrNotAtAll(t *testing.T) {
	b := newProject(t)
	b.put("a", "1")
	b.put("strange \n\x1b\xff name", "2")
	must(t, os.Symlink("strange \" target", filepath.Join(b.project, "l")))
	b.launch()
	index := filepath.Join(b.work.Path(backend.StateBase), baseIndex)
	whole, err := os.ReadFile(index)
	must(t, err)
	read, err := readBase(b.work)
	if err != nil || len(read) != 3 || read["strange \n\x1b\xff name"].kind != keptFile || read["l"].reference != "strange \" target" {
		t.Fatal(read, err)
	}
	for name, data := range map[string]string{
		"cut": string(whole[:len(whole)-2]), "empty": "", "another version": strings.Replace(string(whole), "base 1", "base 2", 1),
		"garbled": strings.Replace(string(whole), "file ", "fool ", 1), "a path as reference": strings.Replace(string(whole), `"1"`, `"../x"`, 1),
	} {
		if _, err := parseBase(strings.NewReader(data)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if info, err := os.Stat(b.work.Path(backend.StateBase)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("base is %v, %v", info.Mode(), err)
	}
}

func TestCommitsAreFetchsBusiness(t *testing.T) {
	b := newProject(t)
	b.put("a", "1\n")
	b.commit()
	b.launch()
	view, err := Open(t.Context(), b.work)
	must(t, err)
	view.Close()
	if len(view.Notes) != 0 {
		t.Errorf("notes are %q", view.Notes)
	}
	git(t, b.inside("."), "commit", "-q", "--allow-empty", "-m", "second")
	view, err = Open(t.Context(), b.work)
	must(t, err)
	view.Close()
	if len(view.Notes) != 1 || !strings.Contains(view.Notes[0], "claude-bottle fetch b@1") || len(view.List()) != 0 {
		t.Errorf("notes are %q, changes %v", view.Notes, view.List())
	}
}

func TestTwoBottlesAreCompared(t *testing.T) {
	one := newProject(t)
	one.put("same", "1\n")
	one.put("differs", "1\n")
	one.put("only-first", "1\n")
	one.commit()
	one.launch()
	other := newProject(t)
	other.project, other.work.Plan.Workspace.Path = one.project, one.project
	other.launch()
	one.edit("differs", "one\n")
	other.edit("differs", "two\n")
	must(t, os.Remove(other.inside("only-first")))
	other.edit("only-second", "2\n")
	one.edit("both", "equal\n")
	other.edit("both", "equal\n")
	must(t, unix.Mkfifo(one.inside("fifo"), 0o600))
	must(t, unix.Mkfifo(other.inside("fifo"), 0o600))
	must(t, os.Symlink("/etc/shadow", other.inside("link")))
	view, err := Against(t.Context(), one.work, other.work)
	must(t, err)
	defer view.Close()
	if got := strings.Join(told(view.List()), ", "); got != "modified differs, added link, deleted only-first, added only-second" {
		t.Errorf("changes are %s", got)
	}
	counted, err := view.Count(t.Context(), nil)
	must(t, err)
	for i, want := range []Lines{{1, 1}, {1, 0}, {0, 1}, {1, 0}} {
		if got := counted[i].Lines; got == nil || *got != want {
			t.Errorf("lines of %s are %v, want %v", counted[i].Path, got, want)
		}
	}
	var patch strings.Builder
	_, err = view.Patch(t.Context(), &patch, nil)
	must(t, err)
	if !strings.Contains(patch.String(), "-one\n+two\n") || strings.Contains(patch.String(), "root:") {
		t.Errorf("patch is\n%s", patch.String())
	}
}
