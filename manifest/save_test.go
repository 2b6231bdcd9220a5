package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestAHostIsSavedAndNothingElseChanges(t *testing.T) {
	for _, test := range []struct{ name, before, allowed, denied string }{
		{
			"a list", "---\n# top\nimage: x # why\negress:\n  # these\n  allow:\n    - a.example # first\n    - b.example:8443\n  mode: deny\nruntime: runc\n---\nBody # text\n",
			"---\n# top\nimage: x # why\negress:\n  # these\n  allow:\n    - a.example # first\n    - b.example:8443\n    - new.example:443\n  mode: deny\nruntime: runc\n---\nBody # text\n", "",
		},
		{"flow", "---\nimage: x\negress: {allow: [a.example], mode: deny}\n---\n", "---\nimage: x\negress: {allow: [a.example, 'new.example:443'], mode: deny}\n---\n", ""},
		{"empty list", "---\negress:\n  allow: [] # example.com\n---\n", "---\negress:\n  allow: ['new.example:443'] # example.com\n---\n", ""},
		{"no list", "---\nimage: x\n---\n", "---\nimage: x\negress:\n  allow:\n    - new.example:443\n---\n", "---\nimage: x\negress:\n  allow: []\n---\n"},
		{"null", "---\negress:\nimage: x\n---\n", "---\negress:\n  allow:\n    - new.example:443\nimage: x\n---\n", "---\negress:\n  allow: []\nimage: x\n---\n"},
		{"comments", "---\n# image: x\n---\nBody", "---\n# image: x\negress:\n  allow:\n    - new.example:443\n---\nBody", "---\n# image: x\negress:\n  allow: []\n---\nBody"},
		{"nothing", "---\n---\n", "---\negress:\n  allow:\n    - new.example:443\n---\n", "---\negress:\n  allow: []\n---\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := Options{Home: t.TempDir()}
			path := filepath.Join(options.Home, ".claude-bottle", "bottles", "b.md")
			write(t, path, test.before)
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			for i, step := range []struct {
				allow, changed bool
				want           string
			}{{true, true, test.allowed}, {true, false, test.allowed}, {false, true, test.denied}, {false, false, test.denied}} {
				where, changed, err := SaveAllowed(options, "b", "new.example:443", step.allow)
				if err != nil || changed != step.changed || where != path {
					t.Fatalf("step %d: changed %v at %s, %v", i, changed, where, err)
				}
				got, err := os.ReadFile(path)
				want := step.want
				if want == "" {
					want = test.before
				}
				if err != nil || string(got) != want {
					t.Fatalf("step %d: the file is %v\n%s\nwant\n%s", i, err, got, want)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
				t.Errorf("the mode is %v, %v", info.Mode(), err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
				t.Errorf("left are %v", left)
			}
		})
	}
}

func TestWhatIsNotTheUsersOwnIsNotSaved(t *testing.T) {
	options := Options{Home: t.TempDir()}
	bottles := filepath.Join(options.Home, ".claude-bottle", "bottles")
	theirs := filepath.Join(t.TempDir(), "theirs.md")
	const text = "---\nimage: x\n---\n"
	write(t, theirs, text)
	write(t, filepath.Join(bottles, "wrong.md"), "---\nimagee: x\n---\n")
	if err := os.Symlink(theirs, filepath.Join(bottles, "link.md")); err != nil {
		t.Fatal(err)
	}
	for name, known := range map[string]func(error) bool{
		"link": errdefs.IsFailedPrecondition, "wrong": errdefs.IsInvalidArgument, "../x": errdefs.IsInvalidArgument,
		"none": func(err error) bool { return err != nil && strings.Contains(err.Error(), "no such file") },
	} {
		if _, _, err := SaveAllowed(options, name, "new.example", true); !known(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(theirs); err != nil || string(got) != text {
		t.Errorf("the other's file is %q, %v", got, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
