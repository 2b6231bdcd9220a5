package manifest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func TestAPinMovesOnAndNothingElseChanges(t *testing.T) {
	old := backend.RecipePackage{Package: "@a/b@1.0", Integrity: "sha512-old=="}
	next := backend.RecipePackage{Package: "@a/b@2.0", Integrity: "sha512-new=="}
	path := filepath.Join(t.TempDir(), "b.md")
	write(t, path, "---\nimage: # ours\n  npm:\n    - {package: '@a/b@1.0', integrity: sha512-old==} # pinned\n---\nBody 1.0\n")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := SavePin(path, old, next); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	want := "---\nimage: # ours\n  npm:\n    - {package: '@a/b@2.0', integrity: sha512-new==} # pinned\n---\nBody 1.0\n"
	if err != nil || string(got) != want {
		t.Errorf("it is %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := SavePin(path, old, next); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("of a pin that is not there it says %v", err)
	}
	link := filepath.Join(t.TempDir(), "link.md")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := CheckPin(link, next); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("of a link it says %v", err)
	}
}
