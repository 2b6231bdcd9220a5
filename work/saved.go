// Package work is what a bottle has made, and how it comes home: what differs from
// what went in, its review, and its way into the user's own files and repository.
// What lies in a bottle's directories is hostile: it is read through os.Root, and no
// program of the host ever runs in there. It knows no containerd.
package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// Mark is how a workspace was at one moment.
type Mark struct{ files archive.Baseline }

// TakeMark notes how the workspace is now: before what is to be brought home is
// read, so that what changes meanwhile still counts as unsaved.
func TakeMark(ctx context.Context, work *backend.Work) (*Mark, error) {
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	files, err := archive.TakeBaseline(ctx, root)
	if err != nil {
		return nil, err
	}
	return &Mark{files: files}, nil
}

// Save notes that the files of the mark for which covered is true are at home. The
// others count as they did before.
func Save(work *backend.Work, mark *Mark, covered func(path string) bool) error {
	before, err := readSaved(work)
	if err != nil {
		return err
	}
	settled := before.Settle(mark.files, covered)
	if err := writeSynced(work.Path(backend.StateSaved), settled.Write); err != nil {
		return fmt.Errorf("note what is saved: %w", err)
	}
	return nil
}

// readSaved reads what of the workspace is at home.
func readSaved(work *backend.Work) (archive.Baseline, error) {
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

// writeSynced writes a file whole or not at all, also through a power cut.
func writeSynced(path string, write func(io.Writer) error) (err error) {
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
