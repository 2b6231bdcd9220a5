package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestGCChoosesByAgeAndSizeAndSparesUnsavedWork(t *testing.T) {
	ended := func(name string, ago time.Duration, size int64, unsaved *backend.Unsaved) backend.Status {
		return backend.Status{Name: name, Phase: backend.PhaseKept, Created: time.Now().Add(-ago), Size: size, Unsaved: unsaved}
	}
	saved, work := &backend.Unsaved{Other: 1}, &backend.Unsaved{Changed: 1, Paths: []string{"a"}}
	bottles := []backend.Status{
		ended("new", time.Hour, 10, saved),
		ended("newer-work", 2*time.Hour, 10, work),
		ended("old", 50*time.Hour, 10, saved),
		ended("old-work", 60*time.Hour, 10, work),
		ended("middle", 10*time.Hour, 10, saved),
		ended("unseen", 70*time.Hour, 0, nil),
		{Name: "running", Phase: backend.PhaseRunning, Created: time.Now().Add(-900 * time.Hour)},
	}
	names := func(list []collected) string {
		var all []string
		for _, item := range list {
			all = append(all, item.Name)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	for _, one := range []struct {
		most         int64
		discard      bool
		remove, keep string
	}{
		{1000, false, "old", "old-work unseen"},
		{35, false, "middle old", "old-work unseen"},
		{0, false, "middle new old", "newer-work old-work unseen"},
		{1000, true, "old old-work", "unseen"},
		{0, true, "middle new newer-work old old-work", "unseen"},
	} {
		plan := planCollection(bottles, time.Now().Add(-48*time.Hour), one.most, one.discard)
		if names(plan.Remove) != one.remove || names(plan.Keep) != one.keep {
			t.Errorf("most %d, discard %v: remove %q, keep %q", one.most, one.discard, names(plan.Remove), names(plan.Keep))
		}
		var shown strings.Builder
		if err := plan.print(&shown); err != nil || one.discard != strings.Contains(shown.String(), "LOSES unsaved work: 1 changed file: a") {
			t.Errorf("it shows %s, %v", shown.String(), err)
		}
		for _, item := range plan.Remove {
			if (item.Loses != "") != strings.HasSuffix(item.Name, "work") {
				t.Errorf("%+v", item)
			}
		}
	}
}
