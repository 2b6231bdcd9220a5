package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlacesWithoutFlagsReplaceNothing goes the way of file systems whose rename
// can't refuse.
func TestPlacesWithoutFlagsReplaceNothing(t *testing.T) {
	for name, test := range map[string]struct {
		make  func(path string) error
		there bool
		fails error
	}{
		"new file":            {make: fileOf("new")},
		"new directory":       {make: treeOf("new")},
		"file in the way":     {make: fileOf("new"), there: true, fails: unix.EEXIST},
		"directory":           {make: treeOf("new"), there: true, fails: unix.EEXIST},
		"nothing was staged":  {make: func(string) error { return nil }, fails: unix.ENOENT},
		"nothing, and a file": {make: func(string) error { return nil }, there: true, fails: unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			from, parent := t.TempDir(), t.TempDir()
			if err := test.make(filepath.Join(from, "what")); err != nil {
				t.Fatal(err)
			}
			if test.there {
				if err := fileOf("old")(filepath.Join(parent, "it")); err != nil {
					t.Fatal(err)
				}
			}
			if err := placePlainly(open(t, from), "what", open(t, parent), "it"); !errors.Is(err, test.fails) {
				t.Fatalf("error is %v, wanted is %v", err, test.fails)
			}
			want := ""
			switch {
			case test.fails == nil:
				want = "new"
			case test.there:
				want = "old"
			}
			if got := read(filepath.Join(parent, "it")); got != want {
				t.Errorf("it holds %q, wanted is %q", got, want)
			}
		})
	}
}

func fileOf(content string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
}

func treeOf(content string) func(string) error {
	return func(path string) error {
		return errors.Join(os.Mkdir(path, 0o755), fileOf(content)(filepath.Join(path, "in")))
	}
}

func read(path string) string {
	if data, err := os.ReadFile(path); err == nil {
		return string(data)
	}
	data, _ := os.ReadFile(filepath.Join(path, "in"))
	return string(data)
}
