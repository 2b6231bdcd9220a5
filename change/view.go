package change

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"golang.org/x/sys/unix"
)

// View is the work of one bottle, set against something else: what went in, or the
// work of another bottle.
type View struct {
	work    *backend.Work
	now     *tree
	mark    archive.Baseline // of the moment before anything was read
	was     archive.Baseline
	changes []*Change
	// before and after give the contents of the two sides.
	before, after source
	// equal are paths whose state differs and whose content does not.
	equal map[string]bool
	// told is what another process has told of the workspace; nil where it is looked at
	// here.
	told *teller
	// Notes are what else has happened, a line each.
	Notes  []string
	closer []func()
}

// Open looks at what differs from what went in.
func Open(ctx context.Context, work *backend.Work) (_ *View, err error) {
	v, err := openView(ctx, work)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	index, err := readBase(work)
	if err != nil {
		v.Notes = append(v.Notes, err.Error())
		index = map[string]content{}
	}
	base := &base{work: work, index: index, was: v.was}
	v.before, v.after = base, treeSource{tree: v.now}
	nested := map[string]*Change{}
	for _, path := range changedPaths(v.was, v.mark) {
		own, inside := inGit(path)
		switch {
		case own:
		case inside != "":
			if path != inside+"/index" && nested[inside] == nil {
				nested[inside] = &Change{Path: inside, Kind: Modified, Note: noteRepository}
				v.changes = append(v.changes, nested[inside])
			}
		default:
			if err := v.compare(ctx, base, path); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(v.changes, byPath)
	v.noteGit()
	v.noteRuns()
	return v, nil
}

// openView notes what a workspace holds.
func openView(ctx context.Context, work *backend.Work) (*View, error) {
	now, err := openTree(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	v := &View{work: work, now: now, equal: map[string]bool{}, closer: []func(){now.close}}
	if v.mark, err = ledger.Now(ctx, work); err == nil {
		v.was, err = ledger.Read(work, backend.StateBaseline)
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Close lets go of the workspace.
func (v *View) Close() {
	for _, each := range v.closer {
		each()
	}
	v.closer = nil
}

// has says that the workspace holds something of that name.
func (v *View) has(path string) bool {
	if v.told != nil {
		return v.told.names[path]
	}
	return v.now.has(path)
}

// List are the changes, in the order of their paths.
func (v *View) List() []Change { return values(v.changes) }

func values(changes []*Change) []Change {
	list := make([]Change, len(changes))
	for i, change := range changes {
		list[i] = *change
	}
	return list
}

// changedPaths are those whose state differs, in order.
func changedPaths(was, now archive.Baseline) []string {
	var paths []string
	for path, state := range now {
		if was[path] != state {
			paths = append(paths, path)
		}
	}
	for path := range was {
		if _, there := now[path]; !there {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// compare adds the change at a path, unless the content is what it was.
func (v *View) compare(ctx context.Context, base *base, path string) error {
	change, ok := pair(path, past(v.was, path), past(v.mark, path))
	if !ok {
		return nil
	}
	if change.before && !base.has(path) {
		change.before = false
		if change.Note == "" {
			change.Note = noteBefore
		}
	}
	if change.Kind == Modified && change.before && change.after {
		same, err := base.equals(ctx, v.now, path)
		switch {
		case missing(err) || errors.Is(err, errReplaced):
			change.Note, change.after = noteReplaced, false
		case err != nil:
			return fmt.Errorf("compare %s: %w", backend.Printable(path), err)
		case same && change.OldMode == change.Mode:
			v.equal[path] = true
			return nil
		case same:
			change.Kind = ModeOnly
		}
	}
	v.changes = append(v.changes, &change)
	return nil
}

func past(of archive.Baseline, path string) *archive.Past {
	if past, ok := of.Past(path); ok {
		return &past
	}
	return nil
}

// noteGit says what has become of the repository. Its contents are the business of
// fetch, and are not looked at.
func (v *View) noteGit() {
	saved, err := ledger.Saved(v.work)
	if err != nil {
		saved = v.was
	}
	_, had := v.was.Past(".git/HEAD")
	_, has := v.mark.Past(".git/HEAD")
	if dir, there := v.mark.Past(".git"); had && (!has || there && dir.Kind() != unix.S_IFDIR) {
		v.Notes = append(v.Notes, "the bottle's .git was moved away or replaced: what it was is on the host, untouched")
		return
	}
	for _, path := range changedPaths(saved, v.mark) {
		isRef := strings.HasPrefix(path, ".git/refs/") || strings.HasPrefix(path, ".git/reftable/") || path == ".git/HEAD" || path == ".git/packed-refs"
		if now, _ := v.mark.Past(path); isRef && now.Kind() != unix.S_IFDIR {
			v.Notes = append(v.Notes, fmt.Sprintf("there are commits or branches, too: `claude-bottle fetch %s` brings them", v.work.Handle()))
			return
		}
	}
}

// noteRuns marks what runs by itself: by its name, for being a program, or for
// being what such a name points to.
func (v *View) noteRuns() {
	known, pointed := newPrograms(), map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(v.mark)) {
		if now, _ := v.mark.Past(path); now.Kind() == unix.S_IFLNK && known.named(path) != "" {
			if target, err := v.now.readlink(path); err == nil {
				pointed[joinLink(path, target)] = path
			}
		}
	}
	for _, change := range v.changes {
		var head []byte
		if change.after && change.Mode != gitLink && change.Kind != ModeOnly {
			head = v.head(change.Path)
		}
		change.Runs = known.why(change, head)
		for _, path := range append(above(change.Path), change.Path) {
			if from, ok := pointed[path]; ok && change.Runs == "" {
				change.Runs = "what " + backend.Printable(from) + " points to"
			}
		}
	}
}

// head is the first bytes of a file.
func (v *View) head(path string) []byte {
	file, err := v.now.open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	return headOf(file)
}

func headOf(r io.Reader) []byte {
	buffer := make([]byte, 2)
	n, _ := io.ReadFull(r, buffer)
	return buffer[:n]
}
