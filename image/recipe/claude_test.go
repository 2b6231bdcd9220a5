package recipe_test

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/recipe"
	"github.com/containerd/errdefs"
)

func TestTheClaudeOfARecipeIsFoundAndReplaced(t *testing.T) {
	made := backend.Recipe{NPM: []backend.RecipePackage{{Package: "typescript@5.9.2"}, {Package: "@anthropic-ai/claude-code-linux-x64@2.1.1", Integrity: "old", Bin: map[string]string{"claude": "claude"}}}}
	name, version, err := recipe.Claude(made)
	if name != "@anthropic-ai/claude-code-linux-x64" || version != "2.1.1" || err != nil {
		t.Errorf("it is %s at %s, %v", name, version, err)
	}
	changed, old, next := recipe.WithClaude(made, "2.1.2", "new")
	if next.Package != name+"@2.1.2" || next.Integrity != "new" || next.Bin["claude"] == "" || changed.NPM[1].Package != next.Package {
		t.Errorf("it became %+v", next)
	}
	if old.Package != made.NPM[1].Package || old.Integrity != "old" {
		t.Errorf("the recipe itself has changed: %+v", made.NPM)
	}
	for _, other := range []string{"@anthropic-ai/claude-codex@1.0.0", "claude-code@1.0.0"} {
		if _, _, err := recipe.Claude(backend.Recipe{NPM: []backend.RecipePackage{{Package: other}}}); !errdefs.IsNotFound(err) {
			t.Errorf("%s is taken for claude: %v", other, err)
		}
	}
}

func TestARecipeMayStartFromDebiansPackages(t *testing.T) {
	made := backend.Recipe{From: "debootstrap:bookworm", Packages: []string{"git"}}
	list := steps(t, made)
	if len(list) != 2 || list[0].Title != "configure Debian's packages" || len(list[0].Egress.Presets) != 0 {
		t.Errorf("its steps are %+v", list)
	}
	if suite, ok := recipe.Suite(made.From); suite != "bookworm" || !ok {
		t.Errorf("its suite is %q", suite)
	}
	for _, from := range []string{"debootstrap:", "debootstrap:../etc", "debootstrap:Bookworm", "debootstrap:a/b"} {
		if err := recipe.Check(backend.Recipe{From: from}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "debootstrap:bookworm") {
			t.Errorf("from %q: %v", from, err)
		}
	}
}
