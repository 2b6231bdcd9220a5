package containerd

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/log"
)

// doer does the steps of one bottle.
type doer func(ctx context.Context, what step) error

// reconcile is the one loop: it leads a bottle from what is seen to the wish.
// Steps that don't depend on each other run side by side. On the first error
// the others are told to stop and waited for, so that nobody works on the
// bottle any more when reconcile returns.
func reconcile(ctx context.Context, w wish, s seen, do doer, progress backend.Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		step step
		err  error
	}
	results := make(chan result)
	running := map[step]bool{}
	var failed error
	for {
		if failed == nil {
			for _, what := range next(w, s) {
				if running[what] {
					continue
				}
				running[what] = true
				log.G(ctx).WithField("step", string(what)).Debug("begin")
				go func() {
					ended := progress.Step(string(what))
					err := do(ctx, what)
					ended(err)
					results <- result{what, err}
				}()
			}
		}
		if len(running) == 0 {
			return failed
		}
		r := <-results
		delete(running, r.step)
		switch {
		case r.err == nil:
			s.done(r.step)
		case failed == nil:
			failed = fmt.Errorf("%s: %w", r.step, r.err)
			cancel()
		case !errors.Is(r.err, context.Canceled):
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.step, r.err))
		}
	}
}
