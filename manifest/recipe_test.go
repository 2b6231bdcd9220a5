package manifest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/google/go-cmp/cmp"
)

func TestABottlesImageMayBeARecipe(t *testing.T) {
	home := t.TempDir()
	bottle := func(name, front string) {
		write(t, filepath.Join(home, ".claude-bottle", "bottles", name+".md"), "---\n"+front+"\n---\n")
	}
	options := manifest.Options{Home: home, Cwd: home}
	bottle("base", "image: {from: debian, run: [true, echo], env: {A: b}}\nruntime: runc")
	bottle("inherits", "extends: base")
	bottle("replaces", "extends: base\nimage: other:1")
	bottle("recipe", "extends: replaces\nimage:\n  from: x\n  files: [{from: a, to: /a}]")
	recipe := &backend.Recipe{From: "debian", Run: []string{"true", "echo"}, Env: map[string]string{"A": "b"}, Directory: filepath.Join(home, ".claude-bottle", "bottles")}
	for name, want := range map[string]struct {
		image  string
		recipe *backend.Recipe
	}{
		"base": {"", recipe}, "inherits": {"", recipe}, "replaces": {"other:1", nil},
		"recipe": {"", &backend.Recipe{From: "x", Files: []backend.RecipeFile{{From: "a", To: "/a"}}, Directory: recipe.Directory}},
	} {
		got, err := manifest.LoadBottle(options, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.recipe, got.Recipe); diff != "" || got.Image != want.image {
			t.Errorf("%s has image %q and\n%s", name, got.Image, diff)
		}
	}
}

func TestMistakesInARecipeAreNamedByTheirLine(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, ".claude-bottle", "bottles", "b.md")
	for front, want := range map[string]string{
		"image:\n  from: x\n  package: [a]":     ":4: unknown key package: did you mean packages?",
		"image:\n  from: x\n  npm: [a@1]":       ":4: keys and values are expected here",
		"image: {from: x}\nimage: y":            "stands there twice",
		"image: {from: x}\nimage: {from: y}":    "stands there twice",
		"image: {from: x, files: [{form: a}]}":  ":2: unknown key form: did you mean from?",
		"image: [x]":                            ":2: one value is expected here",
		"image: {from: x, egress: {alow: [a]}}": ":2: unknown key alow: did you mean allow?",
		"image: {dockerfile: x, form: y}":       ":2: unknown key form: known are args, context, dockerfile, target",
		"image: {dockerfile: x, contxt: y}":     ":2: unknown key contxt: did you mean context?",
		"image: {dockerfile: ''}":               ":2: dockerfile names no file",
	} {
		write(t, path, "---\n"+front+"\n---\n")
		if _, err := manifest.LoadBottle(manifest.Options{Home: home, Cwd: home}, "b"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", front, err)
		}
	}
}

func TestABottlesImageMayBeADockerfileWhosePathsBecomeAbsolute(t *testing.T) {
	home := t.TempDir()
	bottle := func(name, front string) {
		write(t, filepath.Join(home, ".claude-bottle", "bottles", name+".md"), "---\n"+front+"\n---\n")
	}
	bottle("base", "image: {dockerfile: ~/web/Dockerfile, context: ~/web, target: tools, args: {A: b}}")
	bottle("relative", "extends: base\nimage: {dockerfile: web/Dockerfile}")
	bottle("inherits", "extends: base")
	bottle("recipe", "extends: base\nimage: {from: x}")
	for name, want := range map[string]*backend.Dockerfile{
		"inherits": {File: filepath.Join(home, "web", "Dockerfile"), Context: filepath.Join(home, "web"), Target: "tools", Args: map[string]string{"A": "b"}},
		"relative": {File: filepath.Join(home, ".claude-bottle", "bottles", "web", "Dockerfile")},
		"recipe":   nil,
	} {
		got, err := manifest.LoadBottle(manifest.Options{Home: home, Cwd: home}, name)
		if diff := cmp.Diff(want, got.Dockerfile); err != nil || diff != "" || (got.Recipe != nil) != (name == "recipe") {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	named, err := manifest.Images(manifest.Options{Home: home})
	if err != nil || len(named) != 4 || named[0].Image != backend.BuiltImage("base") {
		t.Errorf("the files name %+v, %v", named, err)
	}
}
