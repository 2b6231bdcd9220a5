package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/work"
	"golang.org/x/sync/errgroup"
)

// examineTime bounds how long list looks at kept bottles, examiners how many it looks
// at side by side.
const (
	examineTime = 1500 * time.Millisecond
	examiners   = 4
)

// examine looks at what each bottle of those phases takes and holds, until ctx ends. The
// others stay as they are.
func examine(ctx context.Context, bottles []backend.Status, takes func(backend.Phase) bool) {
	var group errgroup.Group
	group.SetLimit(examiners)
	for i := range bottles {
		status := &bottles[i]
		id, err := backend.ParseID(status.ID)
		if !takes(status.Phase) || err != nil {
			continue
		}
		group.Go(func() error {
			kept := &backend.Work{ID: id, Running: status.Phase != backend.PhaseKept, State: filepath.Dir(status.Workspace)}
			unsaved, err := work.Unsaved(ctx, kept)
			var size int64
			if err == nil {
				size, err = work.Disk(ctx, kept)
			}
			switch {
			case err == nil:
				status.Size, status.Unsaved = size, &unsaved
			case ctx.Err() == nil && status.Message == "":
				status.Message = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait() // nobody fails
}

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
