package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
)

func TestABottlesImageMayBeThatOfADevcontainer(t *testing.T) {
	u := newUser(t)
	web := filepath.Join(u.options.Home, "web")
	file := filepath.Join(web, ".devcontainer", "devcontainer.json")
	write(t, file, `{"image": "web:1", "containerEnv": {"A": "b", "PATH": "/x"}, "postCreateCommand": "make", "forwardPorts": [80]}`)
	write(t, filepath.Join(u.options.Home, "made", ".devcontainer.json"), `{"build": {"dockerfile": "Dockerfile"}}`)
	write(t, filepath.Join(u.options.Home, "made", "Dockerfile"), "FROM scratch\n")
	u.options.RefuseVariable = func(name string) string {
		if name == "PATH" {
			return "taken"
		}
		return ""
	}
	u.bottle("base", "image: {devcontainer: ~/web}\nenv: {C: d}\nruntime: runc")
	u.bottle("inherits", "extends: base")
	u.bottle("relative", "image: {devcontainer: ../../made/.devcontainer.json}")
	u.bottle("more", "image: {devcontainer: ~/web, npm: [{package: a@1, integrity: b}]}")
	u.bottle("replaces", "extends: base\nimage: other:1")
	u.bottle("recipe", "extends: base\nimage: {from: x}")
	for _, name := range []string{"base", "inherits"} {
		u.agent("a", "bottle: "+name, "")
		loaded := u.mustLoad("a")
		got := loaded.Bottle.Devcontainer
		if got == nil || got.File != file || got.Env["A"] != "b" || len(got.Env) != 1 || len(got.Setup) != 1 || len(got.Ports) != 1 || got.Ignored[0].Reason != "taken" ||
			loaded.Bottle.Image != "web:1" || loaded.Bottle.Env["C"] != "d" || loaded.Bottle.Builds() {
			t.Errorf("%s is %+v with %+v", name, loaded.Bottle, got)
		}
		last := loaded.Files[len(loaded.Files)-1]
		if last.Kind != string(manifest.KindDevcontainer) || last.Path != file || len(last.SHA256) != 64 {
			t.Errorf("the last file is %+v", last)
		}
	}
	if got, err := manifest.LoadBottle(u.options, "relative"); err != nil || got.Image != "" || !got.Builds() || got.Dockerfile.File != filepath.Join(u.options.Home, "made", "Dockerfile") {
		t.Errorf("it is %+v, %v", got, err)
	}
	if got, err := manifest.LoadBottle(u.options, "more"); err != nil || got.Image != "" || got.Recipe.From != "web:1" || got.Recipe.NPM[0].Package != "a@1" ||
		got.Recipe.Directory != filepath.Join(u.options.Home, ".claude-bottle", "bottles") || len(got.Devcontainer.Setup) != 1 {
		t.Errorf("it is %+v, %v", got, err)
	}
	for _, name := range []string{"replaces", "recipe"} {
		if got, err := manifest.LoadBottle(u.options, name); err != nil || got.Devcontainer != nil || got.Env["C"] != "d" {
			t.Errorf("%s is %+v, %v", name, got, err)
		}
	}
	if list, err := manifest.Images(u.options); err != nil || list[0].Image != "web:1" || list[len(list)-2].Image != backend.BuiltImage("relative") {
		t.Errorf("the files name %+v, %v", list, err)
	}
}

// TestT46_ADevcontainerIsApprovedByItsContent: whoever names it, for it is a repository's.
func TestT46_ADevcontainerIsApprovedByItsContent(t *testing.T) {
	u := newUser(t)
	file := filepath.Join(u.options.Cwd, ".devcontainer.json")
	write(t, file, `{"image": "web:1"}`)
	u.agent("a", "bottle: b", "")
	u.bottle("b", "image: {devcontainer: "+u.options.Cwd+"}")
	unapproved := func() []backend.ManifestFile {
		t.Helper()
		files, err := manifest.Unapproved(u.options, u.mustLoad("a"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	first := unapproved()
	if len(first) != 1 || first[0].Path != file {
		t.Fatalf("to be approved are %v", first)
	}
	if err := manifest.Approve(u.options, first[0]); err != nil || len(unapproved()) > 0 {
		t.Errorf("it was not approved: %v", err)
	}
	write(t, file, `{"image": "web:2"}`)
	if files := unapproved(); len(files) != 1 {
		t.Errorf("another content is approved: %v", files)
	}
	write(t, file, `{"build": {"dockerfile": "Dockerfile"}}`)
	made := filepath.Join(u.options.Cwd, "Dockerfile")
	write(t, made, "FROM scratch\n")
	for _, each := range unapproved() {
		if err := manifest.Approve(u.options, each); err != nil {
			t.Fatal(err)
		}
	}
	write(t, made, "FROM other\n")
	if files := unapproved(); len(files) != 1 || files[0].Path != made {
		t.Errorf("of another Dockerfile are to be approved %v", files)
	}
}

func TestAMistakeInADevcontainerNamesItsFileAndTheBottle(t *testing.T) {
	u := newUser(t)
	file := filepath.Join(u.options.Cwd, ".devcontainer.json")
	made := filepath.Join(u.options.Cwd, "made", ".devcontainer.json")
	write(t, made, `{"build": {"dockerfile": "Dockerfile"}}`)
	write(t, filepath.Join(u.options.Cwd, "made", "Dockerfile"), "FROM scratch\n")
	for front, want := range map[string]string{
		"image: {devcontainer: " + file + "}":              "bottle b: " + file + ":2: imge",
		"image: {devcontainer: " + file + ", context: x}":  ":2: unknown key context: known are egress",
		"image:\n  devcontainer: " + file + "\n  from: x":  ":4: devcontainer says what the image is made from",
		"image: {devcontainer: " + made + ", run: [x]}":    "a recipe can't go on from " + made + ", which names a Dockerfile",
		"image: {devcontainer: ''}":                        ":2: devcontainer names no file",
		"image: {devcontainer: a}\nimage: b":               "stands there twice",
		"image: {devcontainer: ~/nowhere}":                 "bottle b: find devcontainer.json",
		"image: {devcontainer: " + u.options.Home + "/b/}": "name the file itself",
	} {
		write(t, file, "{\"image\": \"x\",\n\"imge\": 1, \"imge\": 2}")
		if err := os.MkdirAll(filepath.Join(u.options.Home, "b"), 0o750); err != nil {
			t.Fatal(err)
		}
		u.bottle("b", front)
		_, err := manifest.LoadBottle(u.options, "b")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", front, err)
		}
		if !errdefs.IsInvalidArgument(err) && !errdefs.IsNotFound(err) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the kind of %v", front, err)
		}
	}
}
