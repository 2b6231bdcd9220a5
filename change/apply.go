package change

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// stagingPrefix begins the name of the directory in which an apply keeps the new
// and the original files, at the top of its destination. It is in lower case.
const stagingPrefix = ".claude-bottle-apply-"

// exchange is an apply at work in a directory.
type exchange struct {
	dest    *tree
	staging *os.File
	journal *journal
	owner   unix.Stat_t // of the destination
}

func newName(number int) string { return fmt.Sprintf("new-%d", number) }
func oldName(number int) string { return fmt.Sprintf("old-%d", number) }

// Apply does all steps, or none: new files are written aside first, originals are
// kept aside to the end, and an error puts them back. What was applied counts as
// saved from then on.
func (o *Offer) Apply(ctx context.Context) error {
	if len(o.Conflicts) > 0 {
		return o.conflictError()
	}
	if len(o.Steps) == 0 {
		return o.save(ctx)
	}
	x, err := o.exchange(ctx)
	if err != nil {
		return err
	}
	defer x.close()
	if err := errors.Join(o.save(ctx), x.finish()); err != nil {
		return fmt.Errorf("all is in place, but what is left of the apply is not: %w", err)
	}
	return o.area.forget()
}

func (o *Offer) conflictError() error {
	const shown = 10
	var names []string
	for _, conflict := range o.Conflicts[:min(shown, len(o.Conflicts))] {
		names = append(names, backend.Printable(conflict.Path))
	}
	if len(o.Conflicts) > shown {
		names = append(names, "...")
	}
	handle := o.work.Handle()
	return fmt.Errorf("nothing was applied: changed in the bottle and in %s are %s: `claude-bottle merge %s` lets git join them, `claude-bottle apply %s --into DIR` puts them elsewhere, or name the paths that are to come without them: %w",
		backend.Printable(o.Into), strings.Join(names, ", "), handle, handle, errdefs.ErrConflict)
}

// exchange does the steps. The caller finishes and closes it.
func (o *Offer) exchange(ctx context.Context) (*exchange, error) {
	x := &exchange{dest: o.dest, journal: &journal{Into: []byte(o.Into), Staging: stagingPrefix + strings.ToLower(rand.Text()[:8])}}
	if err := unix.Fstat(int(o.dest.dir.Fd()), &x.owner); err != nil {
		return nil, fmt.Errorf("look at destination: %w", err)
	}
	x.journal.Device, x.journal.Inode = x.owner.Dev, x.owner.Ino
	err := o.area.write(x.journal)
	if err == nil {
		err = x.stage(ctx, o.Steps)
	}
	if err == nil {
		err = o.area.write(x.journal)
	}
	if err == nil {
		err = x.place(ctx, o.Steps, o.between)
	}
	if err == nil {
		x.journal.Done = true
		err = o.area.write(x.journal)
	}
	if err == nil {
		return x, nil
	}
	defer x.close()
	if left := x.rollBack(); len(left) > 0 {
		// The journal stays: the next apply tries again.
		return nil, fmt.Errorf("%w; %s could not be put back, and the originals lie in %s", err, strings.Join(left, ", "),
			backend.Printable(filepath.Join(o.Into, x.journal.Staging)))
	}
	if clearErr := errors.Join(x.clear(), o.area.forget()); clearErr != nil {
		return nil, errors.Join(err, clearErr)
	}
	return nil, fmt.Errorf("%w: nothing was changed in %s", err, backend.Printable(o.Into))
}

// close lets go of the staging directory.
func (x *exchange) close() {
	if x.staging != nil {
		_ = x.staging.Close()
		x.staging = nil
	}
}

// clear removes the staging directory with all that is in it.
func (x *exchange) clear() error {
	x.close()
	if _, err := x.dest.root.Lstat(x.journal.Staging); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := x.dest.root.RemoveAll(x.journal.Staging); err != nil {
		return fmt.Errorf("remove %s: %w", x.journal.Staging, err)
	}
	return nil
}

// finish tidies up once everything is in place.
func (x *exchange) finish() error {
	for _, step := range x.journal.Steps {
		if !step.Remove {
			continue
		}
		for _, dir := range above(string(step.Path)) {
			if x.removeDirectory(dir) != nil {
				break // it holds something
			}
		}
	}
	return x.clear()
}

// removeDirectory removes an empty directory.
func (x *exchange) removeDirectory(name string) error {
	parent, base, err := x.dest.enter(name)
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	return unix.Unlinkat(int(parent.Fd()), base, unix.AT_REMOVEDIR)
}
