package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
)

func listing(t testing.TB, root string, skip string) []byte {
	t.Helper()
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	var out bytes.Buffer
	if err := archive.WriteListing(t.Context(), &out, dir, func(path string) bool { return path == skip }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAListingIsReadBack(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a b = 1\nsub/c = 23\nlink -> to a\nnot/d = 4\n\x1b[2Jodd = 5")
	must(t, os.WriteFile(filepath.Join(root, "line\nbreak"), nil, 0o640))
	found, err := archive.ReadListing(bytes.NewReader(listing(t, root, "not")))
	must(t, err)
	if len(found) != 6 || found["sub/c"].Size != 2 || !found["sub"].IsDir() || found["link"].Target != "to a" || found["line\nbreak"].Mode&0o777 != 0o640 {
		t.Errorf("found are %+v", found)
	}
	info, err := os.Stat(filepath.Join(root, "a b"))
	must(t, err)
	if found["a b"].Mtime != info.ModTime().UnixNano() {
		t.Errorf("the time is %d, want %d", found["a b"].Mtime, info.ModTime().UnixNano())
	}
}

func TestT17_AListingThatIsNotWholeIsAnError(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a = 1\nb = 2")
	whole := string(listing(t, root, ""))
	lines := strings.SplitAfter(whole, "\n")
	for name, hostile := range map[string]string{
		"empty": "", "other": "claude-bottle listing 2\nend 0\n", "no end": strings.Join(lines[:3], ""),
		"a line is missing": lines[0] + lines[2] + lines[3], "a line twice": lines[0] + lines[1] + lines[1] + "end 2\n",
		"after the end": whole + "x\n", "climbs": lines[0] + `100644 1 1 "../a" ""` + "\nend 1\n", "absolute": lines[0] + `100644 1 1 "/a" ""` + "\nend 1\n",
		"not clean": lines[0] + `100644 1 1 "a//b" ""` + "\nend 1\n", "no target": lines[0] + `100644 1 1 "a"` + "\nend 1\n",
		"a long line": lines[0] + `100644 1 1 "` + strings.Repeat("a", 100_000) + `" ""` + "\nend 1\n",
	} {
		if found, err := archive.ReadListing(strings.NewReader(hostile)); err == nil {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// FuzzListing: whatever a bottle says is read or refused, and what is read has paths
// that stay inside.
func FuzzListing(f *testing.F) {
	root := f.TempDir()
	if err := os.Symlink("to", filepath.Join(root, "a b")); err != nil {
		f.Fatal(err)
	}
	f.Add(listing(f, root, ""))
	f.Add([]byte("claude-bottle listing 1\n40755 4096 -1 \"d\" \"\"\n100644 5 1700000000000000000 \"d/\\n\\x1b\" \"\"\nend 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := archive.ReadListing(bytes.NewReader(data))
		if err != nil {
			return
		}
		for path := range found {
			if path == "" || !filepath.IsLocal(path) || strings.ContainsRune(path, 0) {
				t.Errorf("path %q", path)
			}
		}
	})
}
