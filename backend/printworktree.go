package backend

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

func (w *WorkTree) rows(row func(string, string, ...any)) {
	head := ""
	if w.Head != "" {
		head = ", HEAD " + short(w.Head)
		if w.Branch != "" {
			head += " on " + Printable(w.Branch)
		}
	}
	row("workspace", "copy of %s: %d files, %s%s", Printable(w.Path), w.Files, Bytes(w.Bytes), head)
	for _, path := range w.History {
		row("history", "from %s", Printable(path))
	}
	if w.Borrows {
		row("history", "with the objects that are borrowed of other repositories")
	}
	for _, included := range []struct {
		is   bool
		what string
	}{{w.IncludeIgnored, "what git ignores goes in, too (--include-ignored)"}, {w.IncludeSecrets, "what looks like a secret goes in, too (--include-secrets)"}} {
		if included.is {
			row("workspace", "%s", included.what)
		}
	}
	w.printOmitted(row)
}

// printOmitted shows how much stays, and the first names of what stays: all of
// them could be ten thousands.
func (w *WorkTree) printOmitted(row func(string, string, ...any)) {
	if len(w.Omitted) == 0 {
		return
	}
	var counts []string
	for _, count := range w.Omissions() {
		counts = append(counts, fmt.Sprintf("%d %s", count.Count, Printable(count.Reason)))
	}
	row("left out", "%s", strings.Join(counts, ", "))
	list := slices.Clone(w.Omitted)
	slices.SortStableFunc(list, func(a, b Omission) int { return cmp.Compare(surprise(a.Reason), surprise(b.Reason)) })
	const shown = 10
	for _, omission := range list[:min(shown, len(list))] {
		row("left out", "%s", omission)
	}
	if len(list) > shown {
		row("left out", "and %d more (all with -o json)", len(list)-shown)
	}
}
