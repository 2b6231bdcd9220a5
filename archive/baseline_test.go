package archive_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
)

// written is the baseline of a tree as it is.
func written(t *testing.T, root *os.Root) []byte {
	t.Helper()
	taken, err := archive.TakeBaseline(t.Context(), root)
	must(t, err)
	var file bytes.Buffer
	must(t, taken.Write(&file))
	return file.Bytes()
}

// differs lists where a tree is not as a written baseline says.
func differs(t *testing.T, root *os.Root, baseline []byte) []string {
	t.Helper()
	known, err := archive.ReadBaseline(bytes.NewReader(baseline))
	must(t, err)
	var paths []string
	must(t, archive.Differ(t.Context(), root, known, func(path string) { paths = append(paths, path) }))
	return paths
}

// TestF24_ADamagedBaselineIsNeverTakenForAWholeOne: whatever happens to its
// bytes, it is an error, and never "nothing has changed".
func TestF24_ADamagedBaselineIsNeverTakenForAWholeOne(t *testing.T) {
	root := rootOf(t, tree(t))
	whole := written(t, root)
	refused := func(what string, data []byte) {
		t.Helper()
		if known, err := archive.ReadBaseline(bytes.NewReader(data)); err == nil {
			t.Errorf("%s is taken for a baseline of %d files", what, len(known))
		}
	}
	for length := range len(whole) - 1 { // without its last newline it is whole
		refused("the first part", whole[:length])
	}
	refused("zeroes", make([]byte, len(whole)))
	refused("garbage", bytes.Repeat([]byte("garbage \xff\n"), 100))
	refused("one with a line more", append(bytes.Clone(whole), "dir \"more\"\n"...))
	refused("one of a later version", bytes.Replace(whole, []byte("baseline 2\n"), []byte("baseline 3\n"), 1))
	random := rand.New(rand.NewPCG(24, 1))
	for range 2000 {
		flipped := bytes.Clone(whole)
		at := random.IntN(len(flipped) - 1)
		flipped[at] ^= 1 << random.IntN(8)
		refused("one with a flipped bit", flipped)
	}
}

func TestF24_ALaterVersionOfABaselineIsNamed(t *testing.T) {
	_, err := archive.ReadBaseline(strings.NewReader("claude-bottle baseline 7\nwhatever\n"))
	if err == nil || !strings.Contains(err.Error(), "version 7, known is 2") {
		t.Errorf("it says: %v", err)
	}
}

func TestABaselineOfAnEmptyTreeIsOne(t *testing.T) {
	path := t.TempDir()
	root := rootOf(t, path)
	baseline := written(t, root)
	if paths := differs(t, root, baseline); len(paths) != 0 {
		t.Errorf("an empty tree differs by %v", paths)
	}
	must(t, os.WriteFile(filepath.Join(path, "new"), nil, 0o600))
	if paths := differs(t, root, baseline); !slices.Equal(paths, []string{"new"}) {
		t.Errorf("with one file more it differs by %v", paths)
	}
}

func TestWhatCameHomeIsSettled(t *testing.T) {
	before := archive.Baseline{"same": "1", "changed": "1", "gone": "1", "gone-too": "1", "left": "1"}
	now := archive.Baseline{"same": "1", "changed": "2", "left": "2", "new": "1", "new-too": "1"}
	covered := map[string]bool{"changed": true, "gone": true, "new": true}
	settled := before.Settle(now, func(path string) bool { return covered[path] })
	want := archive.Baseline{"same": "1", "changed": "2", "gone-too": "1", "left": "1", "new": "1"}
	if !maps.Equal(settled, want) {
		t.Errorf("settled is %v", settled)
	}
	var file bytes.Buffer
	if err := settled.Write(&file); err != nil {
		t.Fatal(err)
	}
	if read, err := archive.ReadBaseline(&file); err != nil || !maps.Equal(read, want) {
		t.Errorf("read is %v, %v", read, err)
	}
}
