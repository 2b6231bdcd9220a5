package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// deleteOptions are the flags of delete.
type deleteOptions struct {
	selection

	files          fileFlags
	discard        bool
	ignoreNotFound bool
	timeout        time.Duration
}

// deleters is how many bottles are ended at a time.
const deleters = 8

func (a *application) deleteCommand() *cobra.Command {
	var o deleteOptions
	command := &cobra.Command{
		Use:   "delete {NAME... | -f FILE | -l SELECTOR} [flags]",
		Short: "End bottles and remove what is kept of them",
		Long: `End bottles that run, as stop does, wait until they are gone, and remove what is kept of
them. One with unsaved work (commits that no fetch has brought home, files that differ
from what went in) is left as it is, with exit code 4, unless --discard says that the
work may go.

NAME is what get shows. It stands for the bottle that has the name, or for the last
detached one that had it.`,
		Example: `  claude-bottle delete tests
  claude-bottle delete -f bottles.yaml --ignore-not-found
  claude-bottle delete -l team=web --discard`,
		ValidArgsFunction: a.completeResources(),
		Args: func(_ *cobra.Command, args []string) error {
			ways := 0
			for _, given := range []bool{len(args) > 0, o.files.given(), o.selector != ""} {
				if given {
					ways++
				}
			}
			if ways != 1 {
				return usageError{errors.New("delete takes one of: names of bottles, -f FILE, -l SELECTOR: `claude-bottle get` shows the bottles")}
			}
			return nil
		},
	}
	o.add(command)
	o.files.add(command, "to delete")
	flags := command.Flags()
	flags.BoolVar(&o.discard, "discard", false, "remove unsaved work, too")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "a bottle that isn't there is no error")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "give up waiting for a bottle to be gone")
	command.RunE = func(command *cobra.Command, args []string) error {
		o.names = args
		if _, err := o.check(); err != nil {
			return err
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.deleteAll(ctx, o) })
	}
	return command
}

// deleteAll tries every bottle. The exit code is that of the first that failed.
func (a *application) deleteAll(ctx context.Context, o deleteOptions) error {
	if o.files.given() {
		declared, err := o.files.read(a)
		if err != nil {
			return err
		}
		for _, bottle := range declared {
			o.names = append(o.names, bottle.Name)
		}
	}
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	list, err := keeper.ListActive(ctx)
	if err != nil {
		return err
	}
	found, missing, err := o.of(resources.Views(list))
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range missing {
		if !o.ignoreNotFound {
			failed = append(failed, notFound(name))
		}
	}
	if len(found) == 0 && len(missing) == 0 && !a.quiet {
		_, _ = fmt.Fprintln(a.err, "claude-bottle: no bottles found")
	}
	return firstCode(append(failed, a.deleteEach(ctx, o, keeper, list, found)...))
}

// deleteEach tries some at a time, and returns what went wrong.
func (a *application) deleteEach(ctx context.Context, o deleteOptions, keeper openedKeeper, list []backend.Status, found []*v1alpha1.Bottle) []error {
	var group errgroup.Group
	group.SetLimit(deleters)
	var telling sync.Mutex
	results := make([]error, len(found))
	for i, bottle := range found {
		group.Go(func() error {
			within, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("it is not gone after %s: %w", o.timeout, context.DeadlineExceeded))
			defer cancel()
			d := &deletion{app: a, keeper: keeper, status: statusByID(list, string(bottle.UID)), discard: o.discard, telling: &telling}
			results[i] = d.run(within, bottle)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the results
	return slices.DeleteFunc(results, func(err error) bool { return err == nil })
}

// deletion ends one bottle and removes what is kept of it.
type deletion struct {
	app     *application
	keeper  openedKeeper
	status  backend.Status
	discard bool
	telling *sync.Mutex // lines of several bottles
}

func (d *deletion) run(ctx context.Context, bottle *v1alpha1.Bottle) error {
	id, err := backend.ParseID(d.status.ID)
	if err != nil {
		return err
	}
	if d.status.Phase != backend.PhaseKept {
		if err := d.end(ctx, id); err != nil {
			return fmt.Errorf("%s: %w", resourceName(bottle), err)
		}
	}
	kept, err := d.keeper.Find(ctx, id.Handle())
	if err == nil {
		err = d.remove(ctx, kept)
	}
	if err != nil && !errdefs.IsNotFound(err) { // nothing was kept, or a TTL was quicker
		return err
	}
	d.telling.Lock()
	defer d.telling.Unlock()
	_, err = fmt.Fprintf(d.app.out, "%s %q deleted\n", v1alpha1.Resource, bottle.Name)
	return err
}

// end takes a bottle down unless work would be lost.
func (d *deletion) end(ctx context.Context, id backend.ID) error {
	if d.status.Phase == backend.PhaseDead {
		return d.bury(ctx)
	}
	if !d.discard {
		if err := d.refuseUnsaved(ctx, id); err != nil {
			return err
		}
	}
	if err := halt(ctx, d.keeper, id.Handle()); err != nil && !errdefs.IsNotFound(err) { // nothing of it was kept
		return err
	}
	return nil
}

// bury has the backend take down what nobody holds.
func (d *deletion) bury(ctx context.Context) error {
	reconciler, ok := d.keeper.(backend.Reconciler)
	if !ok {
		return fmt.Errorf("nobody holds it: `claude-bottle cleanup` takes it down: %w", errdefs.ErrFailedPrecondition)
	}
	_, err := reconciler.Reconcile(ctx, d.status.Name)
	return err
}

// refuseUnsaved looks before anything is ended: who is refused finds the bottle as it was.
func (d *deletion) refuseUnsaved(ctx context.Context, id backend.ID) error {
	found, err := d.keeper.Find(ctx, id.Name)
	if errdefs.IsNotFound(err) || err == nil && found.ID != id {
		return nil // it has just ended
	}
	if err != nil {
		return err
	}
	unsaved, err := unsavedOf(ctx, d.keeper, found)
	if err != nil || !unsaved.Any() {
		return err
	}
	return &exitError{code: exitUnsaved, err: fmt.Errorf("it runs and holds unsaved work, and is left as it is: %s: bring it home with fetch or apply, or add --discard", unsaved.Words())}
}

func (d *deletion) remove(ctx context.Context, kept *backend.Work) error {
	unsaved, err := removeKept(ctx, d.keeper, kept, d.discard)
	if err != nil || !unsaved.Any() {
		return err
	}
	d.telling.Lock()
	defer d.telling.Unlock()
	printUnsaved(d.app.err, unsaved, kept.Plan)
	return &exitError{code: exitUnsaved, err: fmt.Errorf("%s is not deleted: it holds unsaved work", unsaved.Handle)}
}
