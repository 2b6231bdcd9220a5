package change

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
)

// Against sets the workspace of one bottle against that of another: what the second
// has is new.
func Against(ctx context.Context, one, other *backend.Work) (_ *View, err error) {
	a, err := openView(ctx, one)
	if err != nil {
		return nil, err
	}
	b, err := openView(ctx, other)
	if err != nil {
		a.Close()
		return nil, err
	}
	b.closer = append(b.closer, a.Close)
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	same := untouched(a, b)
	b.before, b.after = treeSource{tree: a.now, old: true}, treeSource{tree: b.now}
	all := maps.Clone(a.mark)
	maps.Copy(all, b.mark)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if own, nested := inGit(path); own || nested != "" || same(path) {
			continue
		}
		change, ok := pair(path, past(a.mark, path), past(b.mark, path))
		if !ok {
			continue
		}
		change.before = change.OldMode != ""
		if change.Kind == Modified {
			equal, err := sameFile(ctx, a.now, b.now, &change)
			switch {
			case missing(err) || errors.Is(err, errReplaced):
				change.Note = noteReplaced
			case err != nil:
				return nil, fmt.Errorf("compare %s: %w", backend.Printable(path), err)
			case equal && change.OldMode == change.Mode:
				continue
			case equal:
				change.Kind = ModeOnly
			}
		}
		b.changes = append(b.changes, &change)
	}
	b.noteRuns()
	return b, nil
}

// untouched says of which paths it is known without a look that they hold the same:
// neither bottle has touched them, and the same went into both.
func untouched(a, b *View) func(path string) bool {
	first, err := readBase(a.work)
	if err != nil {
		first = map[string]content{}
	}
	second, err := readBase(b.work)
	if err != nil {
		second = map[string]content{}
	}
	there := func(view *View, path string) bool {
		state, ok := view.was[path]
		return ok && view.mark[path] == state
	}
	return func(path string) bool {
		one, other := first[path], second[path]
		return one.kind == keptBlob && one.kind == other.kind && one.reference == other.reference && one.mode == other.mode &&
			there(a, path) && there(b, path) && one.matches(*past(a.was, path)) && other.matches(*past(b.was, path))
	}
}

// sameFile compares what two trees have at the path of a change, which is of the
// same type in both.
func sameFile(ctx context.Context, a, b *tree, change *Change) (bool, error) {
	if change.Mode == gitLink {
		one, err := a.readlink(change.Path)
		other, otherErr := b.readlink(change.Path)
		return one == other, errors.Join(err, otherErr)
	}
	if change.Mode == "" || change.OldBytes != change.Bytes {
		return change.Mode == "", nil // nothing but its kind can be told of a FIFO
	}
	one, err := a.open(change.Path)
	if err != nil {
		return false, err
	}
	defer func() { _ = one.Close() }()
	other, err := b.open(change.Path)
	if err != nil {
		return false, err
	}
	defer func() { _ = other.Close() }()
	return sameBytes(ctx, one, other)
}
