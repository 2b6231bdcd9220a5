package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"golang.org/x/sync/errgroup"
)

// fanOut is one run: the same plan, but for name and task, in many bottles.
type fanOut struct {
	*launching

	options runOptions
	keeper  openedKeeper
	spec    backend.Spec
	first   *backend.Plan // of the first bottle: what was said yes to
	secrets backend.Secrets
	look    *lookout
	results []*runResult
	last    atomic.Int64 // the greatest number that a bottle of this run was given
	room    room

	watching sync.Once  // by a controller
	fetching sync.Mutex // one helper bottle at a time
	telling  sync.Mutex // lines of several bottles
}

// fanOut is the whole job: tasks, plan, preflight, bottles, work, table.
func (a *application) fanOut(ctx context.Context, o runOptions) error {
	began := time.Now()
	if err := supervise.Harden(); err != nil { // secrets are read here, as in start
		return err
	}
	tasks, err := o.tasks(a.in)
	if err != nil {
		return err
	}
	spec, options, err := a.spec(o.startOptions)
	if err != nil {
		return err
	}
	ctx, patience, release := signalledTwice(ctx)
	defer release()
	l, err := a.newLaunching(ctx, o.startOptions, began)
	if err != nil {
		return err
	}
	defer l.close()
	f := &fanOut{launching: l, options: o, spec: spec}
	if f.keeper, err = keeperOf(l.opened); err != nil {
		return err
	}
	if err := f.number(ctx, tasks); err != nil {
		return err
	}
	if f.first, err = l.plan(ctx, f.wish(0)); err != nil {
		return err
	}
	defer func() { _ = f.first.Workspace.Close() }()
	if o.dryRun {
		return printPlan(a.out, f.first, o.output)
	}
	l.options.question, l.options.alsoShown = f.question(), f.summary()
	if f.secrets, err = l.agree(ctx, options, spec, f.first); err != nil {
		return a.afterSignal(ctx, err)
	}
	if err := f.runAll(ctx, patience); err != nil {
		return a.afterSignal(ctx, err)
	}
	return f.report(ctx)
}

// runAll runs all bottles, so many at a time. What goes wrong with one is in its result.
// The end of ctx halts them, that of patience leaves them to themselves.
func (f *fanOut) runAll(ctx, patience context.Context) error {
	look, stop, err := newLookout(patience, f.keeper)
	if err != nil {
		return err
	}
	defer stop()
	f.look = look
	stopSaying := context.AfterFunc(ctx, func() { f.sayHalting(ctx) })
	defer stopSaying()
	var group errgroup.Group
	group.SetLimit(f.options.parallel)
	if f.first.Image.Present {
		f.progress.hush()
	}
	firstUp := make(chan struct{})
	for i := range f.results {
		launched := func() {}
		if i == 0 {
			launched = func() { f.progress.hush(); close(firstUp) }
		}
		group.Go(func() error { f.run(ctx, patience, i, launched); return nil })
		if i == 0 && !f.first.Image.Present {
			<-firstUp // an image is pulled once, with a bar of its own
		}
	}
	return group.Wait()
}

// run is the life of one bottle.
func (f *fanOut) run(ctx, patience context.Context, i int, launched func()) {
	result := f.results[i]
	id, err := f.begin(ctx, i)
	launched()
	if err != nil {
		result.Error = f.app.afterSignal(ctx, err).Error()
		if ctx.Err() == nil {
			f.complain(result, "it was not started")
		}
		return
	}
	f.watching.Do(func() { f.app.haveController(ctx, f.keeper) })
	result.begins(id)
	f.tell(result, "started, %d of %d", i+1, len(f.results))
	err = f.await(ctx, patience, result)
	f.room.leave(true)
	if err != nil {
		result.Error = err.Error()
		f.complain(result, "it is left to itself")
		return
	}
	f.tell(result, "ended with %s after %s", result.exit(), result.took().Round(time.Second))
	if err := f.bringHome(ctx, patience, result); err != nil {
		result.Error = f.app.afterSignal(ctx, err).Error()
		f.complain(result, "its work stays in "+result.Handle)
	}
}
