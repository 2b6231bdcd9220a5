// Package ledger keeps the books of a workspace in the bottle's state directory: what
// it held when claude came, and what of it is at home by now. The bottle can't reach
// them. How something comes home is not decided here.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// Now notes how the workspace is now: before what is to be brought home is read, so
// that what changes meanwhile still counts as unsaved.
func Now(ctx context.Context, work *backend.Work) (archive.Baseline, error) {
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	return archive.TakeBaseline(ctx, root)
}

// Settle notes that the files for which covered is true are at home as they were at
// that moment. The others count as they did before.
func Settle(work *backend.Work, then archive.Baseline, covered func(path string) bool) error {
	before, err := Saved(work)
	if err != nil {
		return err
	}
	settled := before.Settle(then, covered)
	if err := WriteFile(work.Path(backend.StateSaved), settled.Write); err != nil {
		return fmt.Errorf("note what is saved: %w", err)
	}
	return KeepTime(work)
}

// KeepTime gives the state directory of a kept bottle the time back that it had when
// it was found: that is when the bottle ended, and no look at its work makes it
// younger.
func KeepTime(work *backend.Work) error {
	if work.Running || work.Created.IsZero() {
		return nil
	}
	if err := os.Chtimes(work.State, time.Time{}, work.Created); err != nil {
		return fmt.Errorf("keep the time of the bottle's end: %w", err)
	}
	return nil
}

// Saved reads what of the workspace is at home.
func Saved(work *backend.Work) (archive.Baseline, error) {
	file, err := os.Open(work.Path(backend.StateSaved))
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.Open(work.Path(backend.StateBaseline))
	}
	if err != nil {
		return nil, fmt.Errorf("read what is saved: %w", err)
	}
	defer func() { _ = file.Close() }()
	return archive.ReadBaseline(file)
}

// WriteFile writes a file whole or not at all, also through a power cut.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	err = errors.Join(write(file), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
