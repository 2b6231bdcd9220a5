package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// Carry notes for a copy of a bottle's workspace what went in and what came home, as
// it is noted for the original. It is called once the copy is done: what has changed
// in the original up to then counts as unsaved in the copy, too. Of an original whose
// notes can't be read everything does.
func Carry(ctx context.Context, from, to *backend.Work) error {
	now, err := ledger.Now(ctx, from)
	if err != nil {
		return err
	}
	copied, err := ledger.Now(ctx, to)
	if err != nil {
		return err
	}
	for _, name := range []string{backend.StateBaseline, backend.StateSaved} {
		known, err := ledger.Read(from, name)
		if errors.Is(err, fs.ErrNotExist) && name == backend.StateSaved {
			continue
		}
		if err != nil {
			return nil //nolint:nilerr // as unknown as the original
		}
		if err := ledger.WriteFile(to.Path(name), carried(known, now, copied).Write); err != nil {
			return fmt.Errorf("carry %s over: %w", name, err)
		}
	}
	return nil
}

// carried is known for the copy: a file that is in the original as it was known is
// known as it is in the copy. Of another one there is kept what it was, and what can't
// be true of any file there.
func carried(known, now, copied archive.Baseline) archive.Baseline {
	result := make(archive.Baseline, len(known))
	for path, state := range known {
		result[path] = archive.Elsewhere(state)
		if there, ok := copied[path]; ok && now[path] == state {
			result[path] = there
		}
	}
	return result
}
