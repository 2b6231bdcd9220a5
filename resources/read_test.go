package resources_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/containerd/errdefs"
)

func document(name string, spec ...string) string {
	return "apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\nmetadata: {name: " + name + "}\nspec:\n  agent: claude\n  " + strings.Join(spec, "\n  ") + "\n"
}

// files writes files below a directory and returns it.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func namesOf(bottles []*v1alpha1.Bottle) string {
	var names []string
	for _, bottle := range bottles {
		names = append(names, bottle.Name)
	}
	return strings.Join(names, " ")
}

func TestFilesDirectoriesAndStandardInputAreRead(t *testing.T) {
	dir := files(t, map[string]string{
		"all/a.yaml":      "# first\n---\n" + document("a1") + "---\n" + document("a2") + "---\n",
		"all/b.yml":       document("b"),
		"all/c.json":      `{"apiVersion": "claude-bottle.dev/v1alpha1", "kind": "Bottle", "metadata": {"name": "c"}, "spec": {"agent": "claude"}}`,
		"all/notes.md":    "no resource",
		"all/deep/d.yaml": document("d"),
		"one":             document("one"),
	})
	for name, test := range map[string]struct {
		files resources.Files
		want  string
	}{
		"a directory":          {resources.Files{Paths: []string{filepath.Join(dir, "all")}}, "a1 a2 b c"},
		"and those below":      {resources.Files{Paths: []string{filepath.Join(dir, "all")}, Recursive: true}, "a1 a2 b c d"},
		"a file of any name":   {resources.Files{Paths: []string{filepath.Join(dir, "one")}}, "one"},
		"standard input, more": {resources.Files{Paths: []string{"-", filepath.Join(dir, "one")}, Stdin: strings.NewReader(document("in"))}, "in one"},
	} {
		t.Run(name, func(t *testing.T) {
			bottles, err := resources.Read(test.files)
			if err != nil || namesOf(bottles) != test.want {
				t.Errorf("read are %s, %v", namesOf(bottles), err)
			}
		})
	}
}

func TestMistakesAreNamedWithFileDocumentAndField(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    []string
	}{
		"typo":         {document("a") + "---\n" + document("b", "imagee: x"), []string{"f.yaml: document 2: spec.imagee: unknown field, did you mean image?"}},
		"several":      {document("a", "restartPolicy: always", "runtimeClassName: kata"), []string{"f.yaml: document 1: Bottle a: spec.restartPolicy: Unsupported value", "spec.runtimeClassName: Unsupported value"}},
		"in each":      {document("A") + "---\n" + document("b", "bottle: /"), []string{"document 1: Bottle A: metadata.name", "document 2: Bottle b: spec.bottle"}},
		"a lease":      {document("a", "lease: {durationSeconds: 5}"), []string{"spec.lease: Forbidden: only a cluster takes a lease"}},
		"a namespace":  {strings.Replace(document("a"), "name: a", "name: a, namespace: b", 1), []string{"metadata.namespace: Forbidden"}},
		"twice":        {document("a") + "---\n" + document("a"), []string{"Bottle a is declared in"}},
		"nothing":      {"# nothing\n", []string{"no Bottle is declared in"}},
		"a separator":  {document("a") + "--- x\n" + document("b"), []string{"document 1", "separator"}},
		"escapes":      {document("a", `"\e[2J": x`), []string{`spec.\x1b[2J: unknown field`}},
		"over the top": {document("a", "prompt: "+strings.Repeat("x", 5<<20)), []string{"larger than"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{"f.yaml": test.content})
			_, err := resources.Read(resources.Files{Paths: []string{filepath.Join(dir, "f.yaml")}})
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("it says %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said: %v", want, err)
				}
			}
		})
	}
	if _, err := resources.Read(resources.Files{Paths: []string{"/none/such"}}); !errdefs.IsNotFound(err) {
		t.Errorf("of no file it says %v", err)
	}
	if _, err := resources.Read(resources.Files{Paths: []string{"https://example.com/x.yaml"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("of an address it says %v", err)
	}
}

func TestPathsCountFromTheirFile(t *testing.T) {
	dir := files(t, map[string]string{
		"f.yaml": document("a", "workspace: {path: ../src}") + "---\n" + document("b", "workspace: {path: ~/src}") + "---\n" + document("c", "workspace: {path: /src/../other}"),
	})
	bottles, err := resources.Read(resources.Files{Paths: []string{filepath.Join(dir, "f.yaml"), "-"}, Home: "/home/me", Cwd: "/here", Stdin: strings.NewReader(document("d", "workspace: {path: .}"))})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{filepath.Join(dir, "../src"), "/home/me/src", "/other", "/here"} {
		if got := bottles[i].Spec.Workspace.Path; got != want {
			t.Errorf("%s is %s, wanted is %s", bottles[i].Name, got, want)
		}
	}
}
