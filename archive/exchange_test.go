package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestF18_AnExchangeThatFailsHalfWayLosesNothing has each rename of an exchange fail,
// and then also those that would put things back.
func TestF18_AnExchangeThatFailsHalfWayLosesNothing(t *testing.T) {
	for first := range 4 {
		for last := first; last < 6; last++ {
			staged, dir := t.TempDir(), t.TempDir()
			write(t, filepath.Join(staged, "what"), "new")
			write(t, filepath.Join(dir, "name"), "old")
			calls := -1
			failing := func(fromDir int, from string, toDir int, to string) error {
				if calls++; calls >= first && calls <= last {
					return unix.EIO
				}
				return unix.Renameat(fromDir, from, toDir, to)
			}
			err := exchangePlainly(failing, open(t, staged), "what", open(t, dir), "name")
			name, what := contentOf(filepath.Join(dir, "name")), contentOf(filepath.Join(staged, "what"))
			switch {
			case err == nil && (name != "new" || what != "old"):
				t.Errorf("%d to %d: it succeeded, and there is %q and %q", first, last, name, what)
			case err != nil && !errors.Is(err, errStuck) && (name != "old" || what != "new"):
				t.Errorf("%d to %d: %v, and there is %q and %q", first, last, err, name, what)
			case errors.Is(err, errStuck):
				if kept := contentOf(filepath.Join(staged, ".claude-bottle-exchanged")); kept != "old" {
					t.Errorf("%d to %d: %v, and what is kept is %q", first, last, err, kept)
				}
			}
			if (err == nil) != (calls < first) {
				t.Errorf("%d to %d: %d calls ended with %v", first, last, calls+1, err)
			}
		}
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func contentOf(path string) string {
	data, _ := os.ReadFile(path) // "" when it is not there
	return string(data)
}
