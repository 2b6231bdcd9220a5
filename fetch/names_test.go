package fetch

import (
	"slices"
	"testing"
)

func TestNamesAreThoseOfBottlesWhoseWorkIsThere(t *testing.T) {
	l := newLamp(t)
	for _, ref := range []string{"lamp-2/heads/main", "lamp-1/uncommitted", "lamp-1/heads/a/b"} {
		l.git("update-ref", "refs/bottle/"+ref, "HEAD")
	}
	if names, err := Names(t.Context(), l.host); err != nil || !slices.Equal(names, []string{"lamp-1", "lamp-2"}) {
		t.Errorf("names are %q, %v", names, err)
	}
	if names, err := Names(t.Context(), t.TempDir()); err != nil || names != nil {
		t.Errorf("in no repository there are %q, %v", names, err)
	}
}
