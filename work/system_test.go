package work

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"golang.org/x/sys/unix"
)

func TestSystemChangesAreThoseOfTheImagesOwnFiles(t *testing.T) {
	file := func(size, mtime int64) archive.Listed {
		return archive.Listed{Mode: unix.S_IFREG | 0o644, Size: size, Mtime: mtime}
	}
	directory := archive.Listed{Mode: unix.S_IFDIR | 0o755, Mtime: 1, Size: 10}
	touched := archive.Listed{Mode: unix.S_IFDIR | 0o755, Mtime: 2, Size: 20}
	link := func(target string) archive.Listed { return archive.Listed{Mode: unix.S_IFLNK | 0o777, Target: target} }
	before := map[string]archive.Listed{
		"usr": directory, "usr/same": file(1, 1), "usr/longer": file(1, 1), "usr/later": file(1, 1), "usr/gone": file(1, 1),
		"usr/link": link("a"), "usr/becomes": file(1, 1), "usr/mode": file(1, 1), "etc/hostname": file(1, 1), "workspaces": directory,
	}
	after := map[string]archive.Listed{
		"usr": touched, "usr/same": file(1, 1), "usr/longer": file(2, 1), "usr/later": file(1, 2), "usr/new": file(3, 1),
		"usr/link": link("b"), "usr/becomes": link("x"), "usr/mode": {Mode: unix.S_IFREG | 0o4755, Size: 1, Mtime: 1}, "etc/hostname": file(9, 9),
		"workspace": directory, "workspace/x": file(1, 1), "home/claude/x": file(1, 1), "tmp/x": file(1, 1), "proc/1": directory, "workspaces": directory,
	}
	var got []string
	for _, change := range systemChanges(before, after) {
		got = append(got, change.Kind+" "+change.Type+" "+change.Path)
	}
	want := "modified link /usr/becomes|deleted file /usr/gone|modified file /usr/later|modified link /usr/link|modified file /usr/longer|modified file /usr/mode|added file /usr/new"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

// lister writes a text, and ends with an error.
type lister struct {
	text string
	err  error
}

func (l lister) List(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, l.text)
	return errors.Join(l.err, err)
}

const emptyListing = "claude-bottle listing 1\nend 0\n"

// TestT17_AListingIsWholeOnlyByTheLastWord: what looks whole is none when the bottle
// breaks off, or goes on.
func TestT17_AListingIsWholeOnlyByTheLastWord(t *testing.T) {
	whole := lister{text: emptyListing}
	if changes, err := System(t.Context(), whole, whole); err != nil || len(changes) != 0 {
		t.Errorf("got %v, %v", changes, err)
	}
	lost := errors.New("lost")
	for name, hostile := range map[string]lister{
		"broken off": {emptyListing, lost}, "cut": {emptyListing[:20], nil}, "more": {emptyListing + strings.Repeat("x\n", 100_000), nil}, "nothing": {"", lost},
	} {
		if changes, err := System(t.Context(), whole, hostile); err == nil {
			t.Errorf("%s: %v", name, changes)
		}
	}
}
