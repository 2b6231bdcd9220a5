package ledger

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

func TestWhatIsSavedIsNoLongerUnsaved(t *testing.T) {
	work := &backend.Work{State: t.TempDir()}
	workspace := work.Place(backend.PlaceWorkspace)
	if err := os.Mkdir(workspace, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(workspace, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("old", "1")
	root, err := os.OpenRoot(workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	went, err := archive.TakeBaseline(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(work.Path(backend.StateBaseline), went.Write); err != nil {
		t.Fatal(err)
	}
	put("kept", "new")
	put("left", "new")
	mark, err := Now(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	put("late", "after the mark")
	work.Created = time.Unix(1e9, 0)
	if _, err := Settle(work, mark, func(path string) bool { return path != "left" }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(work.State); err != nil || !info.ModTime().Equal(work.Created) {
		t.Errorf("the bottle ended at %v by now, %v", info.ModTime(), err)
	}
	saved, err := os.Open(work.Path(backend.StateSaved))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = saved.Close() }()
	known, err := archive.ReadBaseline(saved)
	if err != nil {
		t.Fatal(err)
	}
	var unsaved []string
	err = archive.Differ(t.Context(), root, known, func(path string) { unsaved = append(unsaved, path) })
	if err != nil || !slices.Equal(unsaved, []string{"late", "left"}) {
		t.Errorf("unsaved are %q, %v", unsaved, err)
	}
}
