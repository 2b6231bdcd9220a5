package change

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// Target says what of a bottle's work goes where.
type Target struct {
	// Into is the directory; "" is the one that the workspace is a copy of.
	Into string
	// Paths choose files and directories of the workspace; none is everything.
	Paths []string
	// Area is the directory in which an apply keeps its own; "" is in the bottle's state.
	Area string
	// Open looks at the work; nil is Open of what this process can read.
	Open func(context.Context) (*View, error)
}

// Offer is what Apply would do to a directory of the user's: contents as they were
// when it was made, whatever the agent does meanwhile.
type Offer struct {
	// Into is the directory.
	Into string
	// Steps are the files that would change, in the order of their paths.
	Steps []*Step
	// Conflicts have changed at both ends in ways that can't be joined. As long
	// as there is one, nothing is done.
	Conflicts []Change
	// Refused never come home as files. Why is in their notes.
	Refused []Change
	// Same are already as the bottle has them.
	Same []string
	// Notes are what else there is to know, a line each.
	Notes []string

	work     *backend.Work
	view     *View
	dest     *tree
	area     *area
	changes  []*Change
	explicit bool // the user has named the directory
	between  func(done int)
}

// Action is what a step does to a file.
type Action string

// The actions.
const (
	Create Action = "create"
	Write  Action = "write"
	Merge  Action = "merge"
	Remove Action = "remove"
	Chmod  Action = "chmod"
)

// Step is what happens to one file.
type Step struct {
	Change
	Action Action `json:"action"`

	number     int
	content    string // path of the new content; "" takes the destination's own
	executable bool
	old        *identity // nil when there is no file yet
}

// Prepare reads the work of a bottle and sets it against the directory. It changes
// nothing there, but for undoing an earlier Apply that was cut. The caller closes
// the offer.
func Prepare(ctx context.Context, work *backend.Work, target Target) (_ *Offer, err error) {
	o := &Offer{work: work, explicit: target.Into != ""}
	if o.Into, err = resolveInto(work, target.Into); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.Close()
		}
	}()
	if o.area, err = openArea(work, target.Area); err != nil {
		return nil, err
	}
	if note, err := o.area.recover(); err != nil {
		return nil, err
	} else if note != "" {
		o.Notes = append(o.Notes, note)
	}
	if o.dest, err = openTree(o.Into); err != nil {
		return nil, err
	}
	if err := o.checkNoStaging(); err != nil {
		return nil, err
	}
	if target.Open == nil {
		target.Open = func(ctx context.Context) (*View, error) { return openSynced(ctx, work) }
	}
	if o.view, err = target.Open(ctx); err != nil {
		return nil, err
	}
	o.Notes = append(o.Notes, o.view.Notes...)
	if o.changes, err = selected(o.view.changes, target.Paths); err != nil {
		return nil, err
	}
	_, err = o.dest.lstat(".git")
	judge := &judge{in: []func(string) bool{o.view.has, o.dest.has}, top: err == nil, repositories: map[string]string{}}
	if judge.own, err = ownBelow(o.Into, target.Area); err != nil {
		return nil, err
	}
	o.keep(judge)
	before, after := &side{dir: o.area.path("a")}, &side{dir: o.area.path("b")}
	if err := o.view.fill(ctx, o.changes, before, after); err != nil {
		return nil, fmt.Errorf("read the work of %s: %w", work.Handle(), err)
	}
	o.view.hangUp()
	// From here on only what was read counts, not what the agent makes of it.
	o.inspect(after)
	return o, o.decide(ctx, before, after)
}

// openSynced is Open with what was written through mappings of files.
func openSynced(ctx context.Context, work *backend.Work) (*View, error) {
	if err := ledger.Sync(ctx, work); err != nil {
		return nil, err
	}
	return Open(ctx, work)
}

// resolveInto finds the directory, which must be no bottle's.
func resolveInto(work *backend.Work, given string) (string, error) {
	if given == "" {
		if work.Plan == nil || work.Plan.Workspace == nil {
			return "", fmt.Errorf("%s has no directory that it came from: name one with --into DIR: %w", work.Handle(), errdefs.ErrFailedPrecondition)
		}
		given = work.Plan.Workspace.Path
	}
	resolved, err := filepath.EvalSymlinks(given)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	if err != nil {
		return "", fmt.Errorf("open destination (--into DIR names another): %w", err)
	}
	among, err := work.Among(resolved)
	if err != nil {
		return "", err
	}
	if among {
		return "", fmt.Errorf("%s belongs to a bottle: name a directory of yours with --into: %w", backend.Printable(resolved), errdefs.ErrInvalidArgument)
	}
	return resolved, nil
}

// keep sorts out the changes that are refused for a reason.
func (o *Offer) keep(judge *judge) {
	var kept []*Change
	for _, change := range o.changes {
		if reason := judge.refuse(change); reason != "" {
			o.refused(change, reason)
			continue
		}
		kept = append(kept, change)
	}
	o.changes = kept
}

func (o *Offer) refused(change *Change, why string) {
	change.Note = why
	o.Refused = append(o.Refused, *change)
}

// inspect judges the files that were read: where links lead, and what is a script.
// What must not come home is nil from then on, for the numbers stay.
func (o *Offer) inspect(after *side) {
	known := newPrograms()
	for number, change := range o.changes {
		if change.Kind == Deleted {
			continue
		}
		why := ""
		if !change.after {
			why = change.Note
		} else if change.Mode == gitLink {
			target, err := os.Readlink(after.path(number))
			if err != nil {
				why = noteReplaced
			} else {
				why = linkLeaves(change.Path, target)
			}
		} else if file, err := openSide(after.path(number)); err != nil {
			why = noteReplaced
		} else {
			if info, err := file.Stat(); err == nil {
				change.Bytes = info.Size()
			}
			if change.Runs == "" && change.Kind != ModeOnly {
				change.Runs = known.why(change, headOf(file))
			}
			_ = file.Close()
		}
		if why != "" {
			o.refused(change, why)
			o.changes[number] = nil
		}
	}
}

// checkNoStaging refuses a directory in which another apply was cut.
func (o *Offer) checkNoStaging() error {
	names, err := o.dest.dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list destination: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, stagingPrefix) {
			return fmt.Errorf("%s holds %s: an apply of another bottle is under way, or was cut: `claude-bottle apply` with that bottle undoes it; else look at what is in there (the file list says), and remove it: %w",
				backend.Printable(o.Into), backend.Printable(name), errdefs.ErrConflict)
		}
	}
	return nil
}

// Drop leaves a step out.
func (o *Offer) Drop(step *Step) {
	o.Steps = slices.DeleteFunc(o.Steps, func(other *Step) bool { return other == step })
}

// Close lets go, and removes the contents that were read. It is idempotent.
func (o *Offer) Close() {
	if o.view != nil {
		o.view.Close()
	}
	if o.dest != nil {
		o.dest.close()
	}
	if o.area != nil {
		o.area.close()
	}
	o.view, o.dest, o.area = nil, nil, nil
}
