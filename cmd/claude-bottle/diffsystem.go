package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
)

// closeTimeout bounds the end of a bottle that was brought up to compare with.
const closeTimeout = time.Minute

// diffSystem compares a running bottle with a new one of the same image.
func (a *application) diffSystem(ctx context.Context, name string, output *format) (err error) {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	pristiner, ok := keeper.(backend.Pristiner)
	if !ok {
		return fmt.Errorf("this backend can't bring up a bottle to compare with: %w", errdefs.ErrNotImplemented)
	}
	found, err := keeper.Find(ctx, name)
	if err != nil {
		return err
	}
	if !found.Running {
		return fmt.Errorf("the root file system of %s went with its sandbox: --system is for bottles that run: %w", found.Handle(), errdefs.ErrFailedPrecondition)
	}
	leave := func(inside backend.Inside) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, inside.Close(ctx))
	}
	entered, err := keeper.Enter(ctx, found)
	if err != nil {
		return err
	}
	defer func() { leave(entered) }()
	pristine, err := pristiner.Pristine(ctx, found)
	if err != nil {
		return err
	}
	defer func() { leave(pristine) }()
	now, ok := entered.(backend.Lister)
	before, also := pristine.(backend.Lister)
	if !ok || !also {
		return fmt.Errorf("this backend can't list a root file system: %w", errdefs.ErrNotImplemented)
	}
	changes, err := work.System(ctx, before, now)
	if err != nil {
		return fmt.Errorf("compare %s with its image: %w", found.Handle(), err)
	}
	return a.printSystem(changes, output)
}

// printSystem shows a letter and a path each.
func (a *application) printSystem(changes []work.SystemChange, output *format) error {
	if changes == nil {
		changes = []work.SystemChange{}
	}
	if done, err := output.structured(a.out, map[string]any{"changes": changes}); done || err != nil {
		return err
	}
	var b strings.Builder
	for _, change := range changes {
		path := backend.Printable(change.Path)
		if change.Type == "directory" {
			path += "/"
		}
		fmt.Fprintf(&b, "%s %s%s\n", strings.ToUpper(change.Kind[:1]), path, detailsOf(change))
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// detailsOf says what of a thing has changed, as far as it shows.
func detailsOf(change work.SystemChange) string {
	var details []string
	if change.Target != "" {
		details = append(details, "-> "+backend.Printable(change.Target))
	}
	if change.Kind == work.SystemModified && change.OldMode != change.Mode {
		details = append(details, "mode "+change.OldMode+" -> "+change.Mode)
	}
	if change.Kind == work.SystemModified && change.OldBytes != change.Bytes {
		details = append(details, backend.Bytes(change.OldBytes)+" -> "+backend.Bytes(change.Bytes))
	}
	if len(details) == 0 {
		return ""
	}
	return "  " + strings.Join(details, ", ")
}
