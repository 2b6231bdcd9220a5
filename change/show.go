package change

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/containerd/errdefs"
)

// Show writes what a step would do to the file at the destination, as git diff
// does.
func (o *Offer) Show(ctx context.Context, w io.Writer, step *Step) error {
	made, err := newScratch()
	if err != nil {
		return err
	}
	defer made.remove()
	before, after := made.side("a"), made.side("b")
	if step.old != nil {
		if note, err := (treeSource{tree: o.dest}).one(ctx, step.Path, modeOf(step.old.Mode), before, 0); err != nil || note != "" {
			return errors.Join(err, noteError(note))
		}
	}
	if step.Action != Remove {
		if err := o.showNew(ctx, step, after); err != nil {
			return err
		}
	}
	if err := made.handOver(); err != nil {
		return err
	}
	return made.patch(ctx, w, []*Change{&step.Change})
}

// showNew puts the new file to where it is compared.
func (o *Offer) showNew(ctx context.Context, step *Step, to *side) error {
	if step.Mode == gitLink {
		target, err := os.Readlink(step.content)
		if err != nil {
			return err
		}
		return os.Symlink(target, to.path(0))
	}
	var file *os.File
	var err error
	if step.content == "" {
		file, err = o.dest.open(step.Path)
	} else {
		file, err = openSide(step.content)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !to.fits(info.Size()) {
		return noteError(noteLarge)
	}
	return copyFile(ctx, file, to.path(0), newMode(step))
}

func noteError(note string) error {
	if note == "" {
		return nil
	}
	return errors.Join(errors.New(note), errdefs.ErrOutOfRange)
}
