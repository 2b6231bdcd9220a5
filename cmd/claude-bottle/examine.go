package main

import (
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

// examineTime bounds how long list looks at kept bottles.
const examineTime = 1500 * time.Millisecond

// keptColumns are the size and what is unsaved, for the table.
func keptColumns(bottle backend.Status, wide bool) (size, unsaved string) {
	switch {
	case bottle.Phase != backend.PhaseKept:
		return "", ""
	case bottle.Unsaved == nil:
		return "?", "?"
	case wide && bottle.Unsaved.Any():
		return backend.Bytes(bottle.Size), bottle.Unsaved.Words()
	default:
		return backend.Bytes(bottle.Size), inShort(*bottle.Unsaved)
	}
}

// inShort is what is unsaved in a word or two.
func inShort(unsaved backend.Unsaved) string {
	text := ""
	switch {
	case unsaved.Unknown != "":
		return "unknown"
	case !unsaved.Any():
		return "no"
	case len(unsaved.Refs) > 0 && unsaved.Commits < 0:
		text = "commits"
	case len(unsaved.Refs) > 0:
		text = count(unsaved.Commits, "commit")
	}
	if unsaved.Changed == 0 {
		return text
	}
	if text != "" {
		text += ", "
	}
	return text + count(unsaved.Changed, "file")
}
