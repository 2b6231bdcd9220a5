package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// beginWait bounds the start of claude in a bottle that is up.
const beginWait = time.Minute

// fanOut is one run: the same plan, but for name and task, in many bottles.
type fanOut struct {
	app      *application
	options  runOptions
	keeper   openedKeeper
	progress *progress
	spec     backend.Spec
	plan     *backend.Plan // of the first bottle: what was said yes to
	secrets  backend.Secrets
	look     *lookout
	results  []*runResult

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
	f := &fanOut{app: a, options: o, progress: newProgress(a.err, a.quiet, began), spec: spec}
	opened, err := a.openBackend(ctx, f.progress)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	if f.keeper, err = keeperOf(opened); err != nil {
		return err
	}
	if err := f.number(ctx, tasks); err != nil {
		return err
	}
	if f.plan, err = f.prepare(ctx, 0); err != nil {
		return a.afterSignal(ctx, err)
	}
	defer func() { _ = f.plan.Workspace.Close() }()
	if o.dryRun {
		return printPlan(a.out, f.plan, o.output)
	}
	tty, err := terminal.Open(a.in, a.out)
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	o.question, o.alsoShown = f.question(), f.summary()
	if f.secrets, err = a.preflight(ctx, o.startOptions, options, spec, f.plan, tty); err != nil {
		return a.afterSignal(ctx, err)
	}
	if err := f.runAll(ctx, patience); err != nil {
		return a.afterSignal(ctx, err)
	}
	return f.report(ctx)
}

// number gives each task its bottle.
func (f *fanOut) number(ctx context.Context, tasks []string) error {
	bottles, err := f.keeper.ListActive(ctx)
	if err != nil {
		return err
	}
	var used []string
	if f.options.copyCwd {
		if used, err = fetch.Names(ctx, f.spec.Cwd); err != nil {
			return err
		}
	}
	for _, bottle := range bottles {
		used = append(used, bottle.Name)
	}
	first := firstFree(f.options.name, used)
	for i, task := range tasks {
		f.results = append(f.results, &runResult{Name: fmt.Sprintf("%s-%d", f.options.name, first+i), Task: task})
	}
	return backend.ValidateName("bottle", f.results[len(tasks)-1].Name)
}

// prepare plans one bottle.
func (f *fanOut) prepare(ctx context.Context, i int) (*backend.Plan, error) {
	spec := f.spec
	spec.Name, spec.ClaudeArgs = f.results[i].Name, claudeArguments(f.results[i].Task, f.options.claudeArgs)
	done := f.progress.Step("prepare " + spec.Name)
	plan, err := f.keeper.Prepare(ctx, spec)
	done(err)
	return plan, err
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
	if f.plan.Image.Present {
		f.progress.hush()
	}
	firstUp := make(chan struct{})
	for i := range f.results {
		launched := func() {}
		if i == 0 {
			launched = func() { f.progress.hush(); close(firstUp) }
		}
		group.Go(func() error { f.run(ctx, patience, i, launched); return nil })
		if i == 0 && !f.plan.Image.Present {
			<-firstUp // an image is pulled once, with a bar of its own
		}
	}
	return group.Wait()
}

// run is the life of one bottle.
func (f *fanOut) run(ctx, patience context.Context, i int, launched func()) {
	result := f.results[i]
	id, err := f.launch(ctx, i)
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
	if err := f.await(ctx, patience, result); err != nil {
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

// launch brings a bottle up with claude at work, and leaves it to its supervisor.
func (f *fanOut) launch(ctx context.Context, i int) (_ backend.ID, err error) {
	if ctx.Err() != nil {
		return backend.ID{}, context.Cause(ctx)
	}
	plan := f.plan
	if i > 0 {
		if plan, err = f.prepare(ctx, i); err != nil {
			return backend.ID{}, err
		}
		defer func() { _ = plan.Workspace.Close() }()
		if err := sameBut(f.plan, plan); err != nil {
			return backend.ID{}, err
		}
	}
	bottle, err := f.keeper.Launch(ctx, plan, f.secrets)
	if err != nil {
		return backend.ID{}, err
	}
	// From here on it is either at work, and halted after an end of ctx, or never was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginWait)
	defer cancel()
	found, err := f.keeper.Find(ctx, plan.Name) // up to Detach nobody else ends it
	if err == nil {
		err = beginDetached(ctx, bottle, plan)
	}
	if err != nil {
		return backend.ID{}, errors.Join(err, bottle.Close(ctx))
	}
	return found.ID, nil
}

// sameBut refuses a plan that is not the one that was said yes to, but for what is each
// bottle's own: its task, and its name in the settings of git.
func sameBut(was, is *backend.Plan) error {
	for _, change := range backend.PlanChanges(was, is) {
		if change.Field != "command" && change.Field != string(backend.InputSettings)+" home settings" {
			return fmt.Errorf("it would not be what was said yes to: %s: start another run for this task: %w", change, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}
