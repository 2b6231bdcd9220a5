package change

import (
	"context"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// State is how a path was when its content was read: what tells it from any later one, ""
// when nothing was there. Paths are bytes, for not every one is UTF-8.
type State struct {
	Path  []byte `json:"path"`
	State string `json:"state"`
}

// settleTime bounds how long it is tried to note what is in place already.
const settleTime = time.Minute

// save notes that what was applied, and what was the same already, is at home.
func (o *Offer) save(ctx context.Context) error {
	covered := map[string]bool{}
	for _, step := range o.Steps {
		covered[step.Path] = true
	}
	for _, path := range o.Same {
		covered[path] = true
	}
	v := o.view
	if v.told != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		return v.told.settle(ctx, v.told.states(covered))
	}
	return settle(o.work, v.was, v.mark, func(path string) bool { return covered[path] || v.equal[path] })
}

// Settle notes for another process that these files, as they were, are at home. One that is
// not as it was said to be is left as unsaved as it was.
func Settle(ctx context.Context, work *backend.Work, states []State) error {
	now, err := ledger.Now(ctx, work)
	if err != nil {
		return err
	}
	was, err := ledger.Read(work, backend.StateBaseline)
	if err != nil {
		return err
	}
	covered := map[string]bool{}
	for _, said := range states {
		if path := string(said.Path); now[path] == said.State {
			covered[path] = true
		}
	}
	return settle(work, was, now, func(path string) bool { return covered[path] })
}

// settle notes what is at home, with the directories, which hold nothing of their own.
func settle(work *backend.Work, was, mark archive.Baseline, covered func(path string) bool) error {
	isDirectory := func(path string) bool {
		before, now := was[path], mark[path]
		return (before == archive.StateDirectory || before == "") && (now == archive.StateDirectory || now == "")
	}
	_, err := ledger.Settle(work, mark, func(path string) bool {
		if own, nested := inGit(path); own || nested != "" {
			return false
		}
		return covered(path) || isDirectory(path)
	})
	return err
}
