package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/containerd/errdefs"
)

// beginWait bounds the start of claude in a bottle that is up.
const beginWait = time.Minute

// room is what the bottles of a run take of what their user may have.
type room struct {
	mu      sync.Mutex
	taken   int           // by bottles that run, or are on their way
	given   int           // how often some of it was given back
	changed chan struct{} // closed at the next change
}

// take is for a bottle that is on its way. It returns how often room was given back before.
func (r *room) take() (given int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken++
	return r.given
}

// leave ends a take; had says that the bottle may have had room.
func (r *room) leave(had bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken--
	if had {
		r.given++
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// wait returns once room was given back since then. False says that there is none to come:
// no bottle of this run takes any, or ctx has ended.
func (r *room) wait(ctx context.Context, since int) bool {
	for {
		r.mu.Lock()
		more, none := r.given != since, r.taken == 0
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if more || none {
			return more
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// number gives each task its bottle.
func (f *fanOut) number(ctx context.Context, tasks []string) error {
	used, err := f.used(ctx)
	if err != nil {
		return err
	}
	f.last.Store(int64(firstFree(f.options.name, used)) - 1)
	for _, task := range tasks {
		f.results = append(f.results, &runResult{Name: f.name(int(f.last.Add(1))), Task: task})
	}
	return backend.ValidateName("bottle", f.results[len(tasks)-1].Name)
}

func (f *fanOut) name(number int) string { return fmt.Sprintf("%s-%d", f.options.name, number) }

// used are the names that bottles have, or work in the repository.
func (f *fanOut) used(ctx context.Context) ([]string, error) {
	there, err := f.there(ctx)
	if err != nil {
		return nil, err
	}
	home, err := f.atHome(ctx)
	return append(there, home...), err
}

// there are the names of bottles, and the handles of those that are kept.
func (f *fanOut) there(ctx context.Context) ([]string, error) {
	bottles, err := f.keeper.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, bottle := range bottles {
		if bottle.Helps == "" {
			names = append(names, bottle.Name)
		}
	}
	return names, nil
}

// atHome are the names of bottles whose work is in the repository.
func (f *fanOut) atHome(ctx context.Context) ([]string, error) {
	if !f.options.copyCwd {
		return nil, nil
	}
	return fetch.Names(ctx, f.spec.Cwd)
}

// wish is what one bottle is to be.
func (f *fanOut) wish(i int) backend.Spec {
	spec := f.spec
	spec.Name, spec.ClaudeArgs = f.results[i].Name, claudeArguments(f.results[i].Task, f.options.claudeArgs)
	return spec
}

// begin brings a bottle up with claude at work, and leaves it to its supervisor. A name that
// somebody else was quicker to have stays theirs, and the task gets the next one. Where its
// user may have no more, it waits for another bottle of this run to end.
func (f *fanOut) begin(ctx context.Context, i int) (backend.ID, error) {
	result := f.results[i]
	for planned := i == 0; ; planned = false {
		if ctx.Err() != nil {
			return backend.ID{}, context.Cause(ctx)
		}
		since := f.room.take()
		id, err := f.try(ctx, i, planned)
		if err == nil {
			return id, nil
		}
		full := errdefs.IsResourceExhausted(err)
		f.room.leave(!full)
		switch {
		case errdefs.IsAlreadyExists(err):
			was := result.Name
			result.Name = f.name(int(f.last.Add(1)))
			f.tell(result, "in place of %s, which somebody else has", was)
		case !full || !f.room.wait(ctx, since) && ctx.Err() == nil:
			return id, err
		}
	}
}

// try is begin for one name. planned says that the plan which was shown is that of this bottle.
func (f *fanOut) try(ctx context.Context, i int, planned bool) (_ backend.ID, err error) {
	plan := f.first
	if !planned {
		if plan, err = f.prepare(ctx, f.wish(i)); err != nil {
			return backend.ID{}, err
		}
		defer func() { _ = plan.Workspace.Close() }()
		if err := sameBut(f.first, plan); err != nil {
			return backend.ID{}, err
		}
	}
	bottle, err := f.launch(ctx, plan, f.secrets)
	if err != nil {
		return backend.ID{}, err
	}
	// From here on it is either at work, and halted after an end of ctx, or never was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginWait)
	defer cancel()
	found, err := f.keeper.Find(ctx, plan.Name) // up to Detach nobody else ends it
	if err == nil {
		err = f.alone(ctx, plan.Name)
	}
	if err != nil {
		return backend.ID{}, errors.Join(err, bottle.Close(ctx))
	}
	if err := f.leave(ctx, bottle, plan); err != nil {
		return backend.ID{}, err
	}
	return found.ID, nil
}

// alone says whether the name that a bottle has won is its own. The record was the arbiter
// of who has it now; another run may have had it since this one has looked. Its bottle was
// kept before its work came home, and went after that: looked for in this order, one of both
// is seen.
func (f *fanOut) alone(ctx context.Context, name string) error {
	there, err := f.there(ctx)
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(there, func(other string) bool { return strings.HasPrefix(other, name+"@") }); at >= 0 {
		return fmt.Errorf("%s is kept: %w", there[at], errdefs.ErrAlreadyExists)
	}
	home, err := f.atHome(ctx)
	if err == nil && slices.Contains(home, name) {
		err = fmt.Errorf("work of %s is at home: %w", name, errdefs.ErrAlreadyExists)
	}
	return err
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
