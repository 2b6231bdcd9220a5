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

// Begin notes what the workspace holds before claude comes. From then on what differs
// is work.
func Begin(ctx context.Context, work *backend.Work) error {
	now, err := Now(ctx, work)
	if err != nil {
		return err
	}
	return WriteFile(work.Path(backend.StateBaseline), now.Write)
}

// Settle notes that the files for which covered is true are at home as they were at
// that moment, and returns what is at home by now. The others count as they did before.
func Settle(work *backend.Work, then archive.Baseline, covered func(path string) bool) (archive.Baseline, error) {
	before, err := Saved(work)
	if err != nil {
		return nil, err
	}
	settled := before.Settle(then, covered)
	if err := WriteFile(work.Path(backend.StateSaved), settled.Write); err != nil {
		return nil, fmt.Errorf("note what is saved: %w", err)
	}
	return settled, KeepTime(work)
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
	saved, err := Read(work, backend.StateSaved)
	if errors.Is(err, fs.ErrNotExist) {
		return Read(work, backend.StateBaseline)
	}
	return saved, err
}

// Read reads one of the books, backend.StateBaseline or backend.StateSaved. One that is
// missing is fs.ErrNotExist.
func Read(work *backend.Work, name string) (archive.Baseline, error) {
	file, err := os.Open(work.Path(name))
	if err != nil {
		return nil, fmt.Errorf("read what is known of the workspace: %w", err)
	}
	defer func() { _ = file.Close() }()
	return archive.ReadBaseline(file)
}

// WriteFile writes a file of the host's whole or not at all, also through a power cut:
// under another name first, and on the disk before it gets its own.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return SyncDirectory(filepath.Dir(path))
}

// SyncDirectory puts the names in a directory on the disk.
func SyncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
