package change

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"golang.org/x/sys/unix"
)

// identity tells a file from another one, and from itself after a change.
type identity struct {
	Inode          uint64
	Mode           uint32
	Size           int64
	Seconds, Nanos int64
	UID, GID       uint32
}

func identityOf(stat unix.Stat_t) *identity {
	return &identity{stat.Ino, stat.Mode, stat.Size, stat.Mtim.Sec, stat.Mtim.Nsec, stat.Uid, stat.Gid}
}

// decide finds out for each change what to do with it at the destination: what went
// in, what the bottle has, and what is there now decide it, as in any merge.
func (o *Offer) decide(ctx context.Context, before, after *side) error {
	gone := map[string]bool{}
	for number, change := range o.changes {
		if change == nil {
			continue
		}
		d := &decision{offer: o, change: change, number: number, before: before.path(number), after: after.path(number)}
		step, conflict, err := d.step(ctx, gone)
		if err != nil {
			return fmt.Errorf("compare %s with %s: %w", backend.Printable(change.Path), backend.Printable(o.Into), err)
		}
		switch {
		case conflict != "":
			told := *change
			told.Note = conflict
			o.Conflicts = append(o.Conflicts, told)
		case step == nil:
			o.Same = append(o.Same, change.Path)
		default:
			gone[change.Path] = step.Action == Remove
			o.Steps = append(o.Steps, step)
		}
	}
	return nil
}

type decision struct {
	offer         *Offer
	change        *Change
	number        int
	before, after string
	host          *identity
}

func (d *decision) make(action Action, content string) *Step {
	step := &Step{Change: *d.change, Action: action, number: d.number, content: content, old: d.host}
	step.executable = d.change.Mode == gitExecutable
	if d.host != nil && d.change.OldMode == d.change.Mode { // not the bottle's doing
		step.executable = d.host.Mode&0o100 != 0
	}
	return step
}

// step decides for one change. Without a step and a conflict there is nothing to do.
func (d *decision) step(ctx context.Context, gone map[string]bool) (_ *Step, conflict string, err error) {
	change := d.change
	stat, err := d.offer.dest.lstat(change.Path)
	switch {
	case errors.Is(err, unix.ENOENT):
	case missing(err):
		if !d.wayIsMade(gone) {
			return nil, "a directory on its way is none there", nil
		}
	case err != nil:
		return nil, "", err
	default:
		d.host = identityOf(stat)
	}
	switch {
	case d.host == nil && change.Kind == Deleted:
		return nil, "", nil
	case d.host == nil && (change.Kind == Added || d.offer.explicit):
		return d.make(Create, d.after), "", nil
	case d.host == nil:
		return nil, "it is gone there", nil
	case d.host.Mode&unix.S_IFMT == unix.S_IFDIR && change.Kind == Added:
		d.host = nil // what it holds has to go before
		return d.make(Create, d.after), "", nil
	case modeOf(d.host.Mode) == "":
		return nil, "it is neither a file nor a link there", nil
	}
	return d.threeWay(ctx)
}

// wayIsMade says that what is in the way is removed by this very offer.
func (d *decision) wayIsMade(gone map[string]bool) bool {
	for _, dir := range above(d.change.Path) {
		if gone[dir] {
			return true
		}
	}
	return false
}

func (d *decision) threeWay(ctx context.Context) (_ *Step, conflict string, err error) {
	change := d.change
	var likeBefore, likeAfter bool
	if change.before {
		likeBefore, err = d.hostIs(ctx, d.before, change.OldMode)
	}
	if err == nil && change.after {
		likeAfter, err = d.hostIs(ctx, d.after, change.Mode)
	}
	if err != nil {
		return nil, "", err
	}
	step := d.make(Write, d.after)
	sameBit := step.executable == (d.host.Mode&0o100 != 0) || change.Mode == gitLink
	switch {
	case change.Kind == Deleted && likeBefore:
		return d.make(Remove, ""), "", nil
	case change.Kind == Deleted && !change.before:
		return nil, noteBefore, nil
	case change.Kind == Deleted:
		return nil, "the bottle removed it, and it was changed there", nil
	case likeAfter && sameBit:
		return nil, "", nil
	case likeAfter, change.Kind == ModeOnly && modeOf(d.host.Mode) != gitLink:
		if sameBit {
			return nil, "", nil
		}
		return d.make(Chmod, ""), "", nil
	case likeBefore:
		return step, "", nil
	case change.Kind == Added:
		return nil, "there is another file of that name there", nil
	case !change.before:
		return nil, noteBefore, nil
	case modeOf(d.host.Mode) == gitLink || change.Mode == gitLink || change.OldMode == gitLink:
		return nil, "it was changed at both ends, and one is a link", nil
	}
	return d.merge(ctx)
}

// hostIs says whether the file at the destination holds what a file here does.
func (d *decision) hostIs(ctx context.Context, path, mode string) (bool, error) {
	if isLink := modeOf(d.host.Mode) == gitLink; isLink || mode == gitLink {
		if !isLink || mode != gitLink {
			return false, nil
		}
		there, err := d.offer.dest.readlink(d.change.Path)
		if err != nil {
			return false, err
		}
		here, err := os.Readlink(path)
		return there == here, err
	}
	here, err := openSide(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = here.Close() }()
	info, err := here.Stat()
	if err != nil || info.Size() != d.host.Size {
		return false, err
	}
	there, err := d.offer.dest.open(d.change.Path)
	if err != nil {
		return false, err
	}
	defer func() { _ = there.Close() }()
	return sameBytes(ctx, here, until(ctx, there))
}

// merge joins what both ends did to a text.
func (d *decision) merge(ctx context.Context) (_ *Step, conflict string, err error) {
	const both = "it was changed at both ends"
	made, err := newScratch()
	if err != nil {
		return nil, "", err
	}
	defer made.remove()
	there, err := d.offer.dest.open(d.change.Path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = there.Close() }()
	for name, from := range map[string]string{"before": d.before, "after": d.after, "there": ""} {
		file := there
		if from != "" {
			if file, err = openSide(from); err != nil {
				return nil, "", err
			}
		}
		info, err := file.Stat()
		if err == nil && info.Size() <= maxShown {
			err = copyFile(ctx, file, filepath.Join(made.dir, name), 0o644)
		}
		_ = file.Close()
		if err != nil {
			return nil, "", err
		}
		if info.Size() > maxShown {
			return nil, both + ", and is too large to be joined", nil
		}
	}
	merged := filepath.Join(d.offer.area.path("m"), sideName(d.number))
	err = made.merge(ctx, merged)
	var failed *hostgit.Error
	var exit *exec.ExitError
	switch {
	case errors.As(err, &failed) && errors.As(err, &exit) && ctx.Err() == nil:
		return nil, both, nil
	case err != nil:
		return nil, "", err
	}
	step := d.make(Merge, merged)
	if same, err := d.hostIs(ctx, merged, gitFile); err != nil || same && step.executable == (d.host.Mode&0o100 != 0) {
		return nil, "", err // all of it is there already
	}
	return step, "", nil
}

// merge writes what git merge-file makes of the three files. A conflict is an error.
func (s *scratch) merge(ctx context.Context, to string) (err error) {
	if err := s.handOver(); err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return s.git().Stream(ctx, nil, file, "merge-file", "-p", "there", "before", "after")
}
