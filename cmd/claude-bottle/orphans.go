package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// orphanLister is a Backend that can tell what of its state is not as it should be.
type orphanLister interface {
	Orphans(ctx context.Context) ([]backend.Status, error)
}

// listOrphans shows where each lies and why it is one.
func (a *application) listOrphans(ctx context.Context, opened backend.Backend, output *format) error {
	lister, ok := opened.(orphanLister)
	if !ok {
		return fmt.Errorf("this backend keeps no bottles: %w", errdefs.ErrNotImplemented)
	}
	orphans, err := lister.Orphans(ctx)
	if err != nil {
		return err
	}
	if output.value != "text" && output.value != "wide" {
		return a.printBottles(orphans, output)
	}
	rows := make([][]string, 0, len(orphans))
	for _, orphan := range orphans {
		rows = append(rows, []string{orphan.Name, age(time.Since(orphan.Created)), filepath.Dir(orphan.Workspace), orphan.Message})
	}
	return table(a.out, []string{"NAME", "AGE", "DIRECTORY", "WHY"}, rows)
}
