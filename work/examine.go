package work

import (
	"context"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sync/errgroup"
)

// examiners is how many bottles are looked at side by side.
const examiners = 4

// Examine looks at what each bottle of those phases takes and holds, until ctx ends. The
// others stay as they are.
func Examine(ctx context.Context, bottles []backend.Status, takes func(backend.Phase) bool) {
	var group errgroup.Group
	group.SetLimit(examiners)
	for i := range bottles {
		status := &bottles[i]
		id, err := backend.ParseID(status.ID)
		if !takes(status.Phase) || err != nil || status.Workspace == "" {
			continue
		}
		group.Go(func() error {
			kept := &backend.Work{ID: id, Running: status.Phase != backend.PhaseKept, State: filepath.Dir(status.Workspace)}
			unsaved, err := Unsaved(ctx, kept)
			var size int64
			if err == nil {
				size, err = Disk(ctx, kept)
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
