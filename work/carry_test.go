package work

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

func TestACopyHasTheSameUnsavedWork(t *testing.T) {
	from, git := kept(t)
	put(t, from, "home", "1")
	put(t, from, "gone", "1")
	note(t, from)
	put(t, from, "home", "changed and fetched")
	mark, err := ledger.Now(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Settle(from, mark, func(path string) bool { return path == "home" }); err != nil {
		t.Fatal(err)
	}
	put(t, from, "file", "changed")
	put(t, from, "new", "new")
	git("commit", "-q", "--allow-empty", "-m", "two")
	if err := os.Remove(filepath.Join(from.Place(backend.PlaceWorkspace), "gone")); err != nil {
		t.Fatal(err)
	}
	to := &backend.Work{ID: backend.ID{Name: "copy", Suffix: "00002"}, State: t.TempDir()}
	for _, name := range []string{"workspace", backend.StateTips} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", from.Path(name), to.Path(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := Carry(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	known, err := ledger.Read(to, backend.StateBaseline)
	if err != nil {
		t.Fatal(err)
	}
	original, err := ledger.Read(from, backend.StateBaseline)
	if err != nil {
		t.Fatal(err)
	}
	for path := range original {
		then, _ := original.Past(path)
		if past, there := known.Past(path); !there || past.Kind() != then.Kind() || path == "file" && past != then {
			t.Errorf("of %s the copy knows %+v, it was %+v", path, past, then)
		}
	}
	was, is := unsavedNow(t, from), unsavedNow(t, to)
	slices.Sort(was.Paths)
	slices.Sort(is.Paths)
	if !slices.Equal(is.Paths, []string{"file", "gone", "new"}) || !slices.Equal(is.Paths, was.Paths) || !slices.Equal(is.Refs, []string{"main"}) || is.Unknown != "" {
		t.Errorf("the original has %+v, the copy %+v", was, is)
	}
}

func TestACopyOfWhatIsUnknownIsUnknown(t *testing.T) {
	from, _ := kept(t)
	if err := os.WriteFile(from.Path(backend.StateBaseline), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := &backend.Work{State: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from.Path("workspace"), to.Path("workspace")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := Carry(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if unsaved := unsavedNow(t, to); unsaved.Unknown == "" {
		t.Errorf("it is %+v", unsaved)
	}
}
