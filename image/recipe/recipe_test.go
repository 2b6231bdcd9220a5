package recipe_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/recipe"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const integrity = "sha512-9Gn+V7DtJ8M1nztP9CeDVl9g3RtrepI7rOFTyPRRnZe8D6zebIHKmC7OvBauucuAP0X0k85SDN/LPVZyjsGezQ=="

// whole is a recipe of everything, with its files in a directory of its own.
func whole(t *testing.T) backend.Recipe {
	t.Helper()
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{"tool": 0o755, "etc/a": 0o600, "etc/deep/b": 0o644} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700), os.WriteFile(filepath.Join(dir, path), []byte(path), mode)); err != nil {
			t.Fatal(err)
		}
	}
	return backend.Recipe{
		From: "debian", Directory: dir, Packages: []string{"git", "jq=1.6-2"},
		NPM:   []backend.RecipePackage{{Package: "@a/b@1.2.3", Integrity: integrity}},
		Files: []backend.RecipeFile{{From: "tool", To: "/usr/local/bin/"}, {From: "etc", To: "/etc/it", Mode: "0640"}},
		Run:   []string{"one", "two"}, Env: map[string]string{"A": "b", "HOME": "/home"},
	}
}

func steps(t *testing.T, made backend.Recipe) []backend.BuildStep {
	t.Helper()
	list, err := recipe.Steps(t.Context(), made, recipe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheStepsOfARecipeInTheirOrder(t *testing.T) {
	made := whole(t)
	var titles []string
	for _, step := range steps(t, made) {
		titles = append(titles, step.Title)
	}
	want := []string{"packages git jq=1.6-2", "npm @a/b@1.2.3", "files /usr/local/bin/ /etc/it", "run one", "run two"}
	if diff := cmp.Diff(want, titles); diff != "" {
		t.Error(diff)
	}
	env := recipe.Env(made)
	if !slices.Contains(env, "A=b") || !slices.Contains(env, "HOME=/home") || !slices.Contains(env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", recipe.Epoch)) {
		t.Errorf("the environment is %q", env)
	}
}

func TestAStepIsAnotherOneWhenWhatItIsMadeOfChanges(t *testing.T) {
	made := whole(t)
	before := steps(t, made)
	if diff := cmp.Diff(inputs(before), inputs(steps(t, made))); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]func(*backend.Recipe){
		"0": func(r *backend.Recipe) { r.Packages = []string{"git"} },
		"1": func(r *backend.Recipe) { r.NPM[0].Bin = map[string]string{"b": "b.js"} },
		"2": func(r *backend.Recipe) { r.Files[1].Mode = "" },
		"2 ": func(r *backend.Recipe) {
			if err := os.WriteFile(filepath.Join(r.Directory, "etc", "a"), []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"3":     func(r *backend.Recipe) { r.Run[0] = "one more" },
		"0 3 4": func(r *backend.Recipe) { r.Egress.Allow = []string{"example.com"} },
	} {
		other := whole(t)
		change(&other)
		var differ []string
		for i, hash := range inputs(steps(t, other)) {
			if hash != inputs(before)[i] {
				differ = append(differ, fmt.Sprint(i))
			}
		}
		if got := strings.Join(differ, " "); got != strings.TrimSpace(name) {
			t.Errorf("steps %s are others, want %s", got, name)
		}
	}
}

func inputs(list []backend.BuildStep) []string {
	var hashes []string
	for _, step := range list {
		hashes = append(hashes, step.Inputs)
	}
	return hashes
}

func TestWhatARecipePutsIn(t *testing.T) {
	var got []string
	err := steps(t, whole(t))[2].Put(t.Context(), func(put backend.BuildPut) error {
		got = append(got, "put "+put.To+" "+put.Name)
		for from := tar.NewReader(put.Tar); ; {
			header, err := from.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%s %04o %d", header.Name, header.Mode, header.ModTime.Unix()))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"put /usr/local/bin/ tool", "x 0755 1793491200",
		"put /etc/it ", "x/ 0755 1793491200", "x/a 0640 1793491200", "x/deep/ 0755 1793491200", "x/deep/b 0640 1793491200",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestT18_NothingButFilesBesideTheRecipeGetsIn(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"link":          func(path string) error { return os.Symlink("/etc/passwd", path) },
		"link inside":   func(path string) error { return os.Symlink("../tool", path) },
		"fifo":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"too much":      func(path string) error { return os.WriteFile(path, make([]byte, 65<<20), 0o600) },
		"not there yet": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			made := whole(t)
			if err := plant(filepath.Join(made.Directory, "etc", "new")); err != nil {
				t.Fatal(err)
			}
			made.Files = []backend.RecipeFile{{From: "etc/new", To: "/x"}}
			if _, err := recipe.Steps(context.Background(), made, recipe.Options{}); err == nil {
				t.Error("it got in by name")
			}
			if name == "not there yet" {
				return
			}
			made.Files = []backend.RecipeFile{{From: "etc", To: "/x"}}
			if _, err := recipe.Steps(context.Background(), made, recipe.Options{}); err == nil {
				t.Error("it got in with its directory")
			}
		})
	}
}

func TestWhatCanBeNoRecipe(t *testing.T) {
	for want, change := range map[string]func(*backend.Recipe){
		"from":         func(r *backend.Recipe) { r.From = "" },
		"packages":     func(r *backend.Recipe) { r.Packages = []string{"-o=x"} },
		"npm: b":       func(r *backend.Recipe) { r.NPM[0].Package = "b" },
		"integrity":    func(r *backend.Recipe) { r.NPM[0].Integrity = "sha1-x" },
		"bin":          func(r *backend.Recipe) { r.NPM[0].Bin = map[string]string{"../x": "y"} },
		"bin y":        func(r *backend.Recipe) { r.NPM[0].Bin = map[string]string{"y": "/etc/passwd"} },
		"from must be": func(r *backend.Recipe) { r.Files[0].From = "a/../../b" },
		"to must be":   func(r *backend.Recipe) { r.Files[0].To = "relative" },
		"mode":         func(r *backend.Recipe) { r.Files[0].Mode = "4755" },
		"run":          func(r *backend.Recipe) { r.Run = []string{" "} },
		"env":          func(r *backend.Recipe) { r.Env = map[string]string{"A-B": ""} },
		"egress.mode":  func(r *backend.Recipe) { r.Egress.Mode = backend.EgressOpen },
	} {
		made := whole(t)
		change(&made)
		if err := recipe.Check(made); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// shipped is the recipe of the default image for an architecture.
func shipped(t *testing.T, architecture string) backend.Recipe {
	t.Helper()
	data, err := recipe.Default(architecture)
	if err != nil {
		t.Fatal(err)
	}
	made, err := manifest.ParseRecipe("default", data)
	if err != nil {
		t.Fatal(err)
	}
	if err := recipe.Check(made); err != nil {
		t.Error(err)
	}
	return made
}

func TestTheRecipeThatShipsHasTheClaudeOfThePin(t *testing.T) {
	made := shipped(t, "amd64")
	pin, err := os.ReadFile(filepath.Join("..", "..", "hack", "image", "claude.pin"))
	if err != nil {
		t.Fatal(err)
	}
	name, version, _ := strings.Cut(made.NPM[0].Package[1:], "@")
	for _, line := range []string{"package=@" + name, "version=" + version, "integrity=" + made.NPM[0].Integrity} {
		if !strings.Contains(string(pin), line+"\n") {
			t.Errorf("hack/image/claude.pin has no line %s: the two are to be the same", line)
		}
	}
}

func TestRecipesThatShipDifferInTheirClaudeAlone(t *testing.T) {
	one, other := shipped(t, "amd64"), shipped(t, "arm64")
	oneName, oneVersion, oneErr := recipe.Claude(one)
	otherName, otherVersion, otherErr := recipe.Claude(other)
	if oneErr != nil || otherErr != nil || !strings.HasSuffix(oneName, "-linux-x64") || !strings.HasSuffix(otherName, "-linux-arm64") || oneVersion != otherVersion {
		t.Errorf("they have %s at %s, %v, and %s at %s, %v", oneName, oneVersion, oneErr, otherName, otherVersion, otherErr)
	}
	if one.NPM[0].Integrity == other.NPM[0].Integrity {
		t.Error("both packages are to have the same bytes")
	}
	one.NPM, other.NPM = nil, nil
	if diff := cmp.Diff(one, other); diff != "" {
		t.Error(diff)
	}
	if _, err := recipe.Default("riscv64"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("where there is no claude: %v", err)
	}
	if _, err := recipe.Default("../recipe"); !errdefs.IsNotFound(err) {
		t.Errorf("what is no architecture: %v", err)
	}
}
