package fetch

import (
	"context"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// Books are where it is noted what of a bottle's work is at home. They lie in its state
// directory. The way into a bottle of a process that can't read that is Books itself.
type Books interface {
	// Tips are the names of objects that the host has.
	Tips(ctx context.Context) (map[string]bool, error)
	// Mark notes how the workspace is now: what changes later still counts as unsaved.
	Mark(ctx context.Context) error
	// Settle notes what has come home of what was marked, and says what has not.
	Settle(ctx context.Context, home Home) (Left, error)
}

// Home is what has come home.
type Home struct {
	// Tree are the files of the commit that holds the workspace as it was found.
	Tree map[string]Entry
	// Whole says that all refs came.
	Whole bool
	// Objects are those that refs of the host name.
	Objects []string
}

// local are the books in a state directory that this process can read.
type local struct {
	work *backend.Work
	mark archive.Baseline
}

// Tips implements Books.
func (l *local) Tips(context.Context) (map[string]bool, error) { return ledger.Tips(l.work) }

// Mark implements Books.
func (l *local) Mark(ctx context.Context) (err error) {
	l.mark, err = Mark(ctx, l.work)
	return err
}

// Settle implements Books.
func (l *local) Settle(ctx context.Context, home Home) (Left, error) {
	return Settle(ctx, l.work, l.mark, home)
}

// Mark is how the workspace is now, with what was written through mappings of files.
func Mark(ctx context.Context, work *backend.Work) (archive.Baseline, error) {
	if err := ledger.Sync(ctx, work); err != nil {
		return nil, err
	}
	return ledger.Now(ctx, work)
}

// Settle notes what is at home by now of what the mark holds, and says what is not. What
// home says is taken for no file that does not hold those very bytes.
func Settle(ctx context.Context, work *backend.Work, mark archive.Baseline, home Home) (Left, error) {
	if err := touched(ctx, work, mark); err != nil {
		return Left{}, err
	}
	covered, err := cover(ctx, work, mark, home.Tree, home.Whole)
	if err != nil {
		return Left{}, err
	}
	saved, err := ledger.Settle(work, mark, covered)
	if err != nil {
		return Left{}, err
	}
	if err := ledger.AddTips(work, home.Objects); err != nil {
		return Left{}, err
	}
	return whatIsLeft(ctx, work, saved)
}
