package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write goldens and schemas anew")

// golden compares with the file, or writes it anew.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date: run go test ./resources -update and read the difference: %s", path, diff)
	}
}

func TestTheShippedSchemasAreThoseOfTheTypes(t *testing.T) {
	for name, make := range map[string]func() ([]byte, error){"resource.json": resources.Schema, "bottles.claude-bottle.dev.yaml": resources.Definition} {
		data, err := make()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("..", "docs", "schema", name), data)
	}
}
