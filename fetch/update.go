package fetch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// How a fetched ref stands to what was there.
const (
	RefNew    = "new"
	RefSame   = "same"
	RefForth  = "fast-forward"
	RefForced = "forced" // what it was is in its reflog
)

// Ref is a ref of the bottle that the host has now.
type Ref struct {
	// Name is the bottle's, without refs/: foreign text, but checked.
	Name string `json:"name"`
	Ref  string `json:"ref"` // the host's
	Old  string `json:"old,omitempty"`
	New  string `json:"new"`
	How  string `json:"how"`
}

// compare says what each ref will be. An uncommitted state that is the same as
// before stays the commit that it was.
func (d *destination) compare(ctx context.Context, refs []listedRef, ours map[string]string) ([]Ref, error) {
	list := make([]Ref, 0, len(refs))
	for _, ref := range refs {
		fetched := Ref{Name: ref.to, Ref: d.refs + ref.to, Old: ours[ref.to], New: ref.object}
		switch {
		case fetched.Old == "":
			fetched.How = RefNew
		case fetched.Old == fetched.New:
			fetched.How = RefSame
		case ref.to == "uncommitted":
			same, err := d.sameState(ctx, fetched.Old, fetched.New)
			if err != nil {
				return nil, err
			}
			if fetched.How = RefForced; same {
				fetched.How, fetched.New = RefSame, fetched.Old
			}
		default:
			_, err := d.git.Run(ctx, nil, "merge-base", "--is-ancestor", fetched.Old, fetched.New)
			if fetched.How = RefForth; err != nil { // also what is no commit
				fetched.How = RefForced
			}
		}
		list = append(list, fetched)
	}
	return list, ctx.Err()
}

// sameState says that two commits hold the same files on the same commit.
func (d *destination) sameState(ctx context.Context, a, b string) (bool, error) {
	first, err := d.ask(ctx, "rev-parse", a+"^{tree}", a+"^@")
	if err != nil {
		return false, err
	}
	second, err := d.ask(ctx, "rev-parse", b+"^{tree}", b+"^@")
	return first == second, err
}

// update sets the refs, all of them or none.
func (d *destination) update(ctx context.Context, list []Ref) error {
	var commands strings.Builder
	for _, ref := range list {
		if ref.How == RefSame {
			continue
		}
		old := ref.Old
		if old == "" {
			old = strings.Repeat("0", len(ref.New))
		}
		_, _ = fmt.Fprintf(&commands, "update %s\x00%s\x00%s\x00", ref.Ref, ref.New, old)
	}
	if commands.Len() == 0 {
		return nil
	}
	_, err := d.git.Run(ctx, strings.NewReader(commands.String()), "update-ref", "--create-reflog", "-m", "claude-bottle fetch", "--stdin", "-z")
	if err != nil {
		return fmt.Errorf("update refs in %s: %w", d.path, err)
	}
	return nil
}

// stale are refs of earlier fetches that the bottle has no more. They stay.
func (d *destination) stale(ours map[string]string, refs []listedRef) []string {
	left := maps.Clone(ours)
	for _, ref := range refs {
		delete(left, ref.to)
	}
	names := slices.Sorted(maps.Keys(left))
	for i, name := range names {
		names[i] = d.refs + name
	}
	return names
}
