package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/containerd/errdefs"
)

// Bounds of a fetch that nobody changes.
const (
	fetchTotal  = time.Hour
	fetchIdle   = 5 * time.Minute
	fetchMemory = 8 << 30

	// DefaultMaxSize bounds the pack, in bytes.
	DefaultMaxSize = 4 << 30
)

// Options say where work goes.
type Options struct {
	// Into is the repository of the host.
	Into string
	// MaxSize bounds what is sent, in bytes; 0 is DefaultMaxSize.
	MaxSize int64
	// Progress is told what is being done; nil is nobody.
	Progress backend.Progress
}

// Fetched is what came.
type Fetched struct {
	Name       string `json:"name"` // its refs are below refs/bottle/NAME/
	Handle     string `json:"handle"`
	Repository string `json:"repository"`
	Refs       []Ref  `json:"refs"`
	// Branch is the ref of the host that stands for what is checked out inside.
	Branch string `json:"branch,omitempty"`
	// Skipped are refs that were left, and why; Stale are refs of the host that
	// the bottle has no more.
	Skipped []Skipped `json:"skipped,omitempty"`
	Stale   []string  `json:"stale,omitempty"`
	// Nested are repositories within the repository that hold what did not come:
	// of each only the commit that it stands at did.
	Nested []string `json:"nested,omitempty"`
	// Left counts other files of the workspace that are still nowhere else;
	// LeftPaths are the first of them.
	Left      int      `json:"left"`
	LeftPaths []string `json:"leftPaths,omitempty"`
}

// Into is the repository that work goes to unless the user says otherwise: the one
// that it came from, or the one that the user stands in.
func Into(work *backend.Work, cwd string) string {
	if work.Plan != nil && work.Plan.Workspace != nil {
		return work.Plan.Workspace.Path
	}
	return cwd
}

// Fetch brings the branches of a bottle, and what is not committed, into the host's
// repository: as objects and refs below refs/bottle/NAME/ alone. Git that looks at
// the bottle's repository runs in the bottle, or in a helper of it.
func Fetch(ctx context.Context, keeper backend.Keeper, work *backend.Work, options Options) (*Fetched, error) {
	bounds := limits{bytes: options.MaxSize, total: fetchTotal, idle: fetchIdle, memory: fetchMemory}
	if bounds.bytes <= 0 {
		bounds.bytes = DefaultMaxSize
	}
	if options.Progress == nil {
		options.Progress = backend.NoProgress{}
	}
	return fetch(ctx, keeper, work, options, bounds)
}

func fetch(ctx context.Context, keeper backend.Keeper, work *backend.Work, options Options, bounds limits) (_ *Fetched, err error) {
	to, err := openDestination(ctx, options.Into, work, bounds)
	if err != nil {
		return nil, err
	}
	inside, err := keeper.Enter(ctx, work)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, inside.Close(context.WithoutCancel(ctx))) }()
	books, ok := inside.(Books)
	if !ok {
		books = &local{work: work}
	}
	if err := books.Mark(ctx); err != nil {
		return nil, err
	}
	done := options.Progress.Step("fetch")
	l, fetched, err := to.bring(ctx, inside, books, work, options.Progress, bounds)
	done(err)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", work.Handle(), err)
	}
	fetched.Name, fetched.Handle, fetched.Repository = work.ID.Name, work.Handle(), to.path
	if err := to.settle(ctx, books, l, fetched); err != nil {
		return nil, fmt.Errorf("the work of %s is in %s now, but that can't be noted: %w", work.Handle(), to.path, err)
	}
	return fetched, nil
}

// bring has the objects come, looks at them, and sets the refs.
func (d *destination) bring(ctx context.Context, inside backend.Inside, books Books, work *backend.Work, progress backend.Progress, bounds limits) (*listing, *Fetched, error) {
	ours, err := d.ours(ctx)
	if err != nil {
		return nil, nil, err
	}
	haves, err := d.haves(ctx, books, work, ours)
	if err != nil {
		return nil, nil, err
	}
	out := flow(ctx, inside, haves, !d.partial, bounds)
	defer out.close()
	l, err := readListing(out.reader)
	if err != nil {
		return nil, nil, broken(ctx, err)
	}
	if l.format != d.format {
		return nil, nil, fmt.Errorf("the bottle's repository names its objects by %s, and %s by %s: fetch into one of the same kind: %w",
			backend.Printable(l.format), d.path, d.format, errdefs.ErrFailedPrecondition)
	}
	good, skipped := checkNames(l.refs, ours)
	if err := d.admit(ctx, out, l, good, progress, bounds.bytes); err != nil {
		return nil, nil, err
	}
	list, err := d.compare(ctx, good, ours)
	if err != nil {
		return nil, nil, err
	}
	if err := d.update(ctx, list); err != nil {
		return nil, nil, err
	}
	fetched := &Fetched{Refs: list, Skipped: skipped, Stale: d.stale(ours, good)}
	for _, ref := range list {
		if ref.Name == l.branch {
			fetched.Branch = ref.Ref
		}
	}
	return l, fetched, nil
}

// admit takes the objects of the refs in once they are known to be good and whole.
func (d *destination) admit(ctx context.Context, out *outflow, l *listing, refs []listedRef, progress backend.Progress, most int64) error {
	q, err := d.newQuarantine()
	if err != nil {
		return err
	}
	defer q.discard()
	err = q.take(ctx, out.reader, most, progress)
	if err == nil {
		err = q.check(ctx, l, refs)
	}
	var refused *hostgit.Error
	if l.shallow && errors.As(err, &refused) {
		return fmt.Errorf("the bottle's repository is shallow: it can only come to one that holds where its history begins, as the one that went in: %w", err)
	}
	if err != nil {
		return broken(ctx, err)
	}
	return q.release()
}

// settle notes what is at home by now, and says what is not.
func (d *destination) settle(ctx context.Context, books Books, l *listing, fetched *Fetched) error {
	tree, err := d.files(ctx, l.snapshot())
	if err != nil {
		return err
	}
	home := Home{Tree: tree, Whole: len(fetched.Skipped) == 0}
	for _, ref := range fetched.Refs {
		home.Objects = append(home.Objects, ref.New)
	}
	left, err := books.Settle(ctx, home)
	if err != nil {
		return err
	}
	fetched.Nested, fetched.Left, fetched.LeftPaths = left.Nested, left.Files, left.Paths
	return nil
}
