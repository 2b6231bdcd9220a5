package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of what is looked at. A directory on a server that is away hangs for ever.
const (
	shortBound  = 10 * time.Second
	probeBound  = time.Minute     // the probe has a bound of its own, and an undo
	tryBound    = 2 * time.Minute // a launch, and two runs of claude
	unpackBound = 10 * time.Minute
)

// look is one thing to be looked at.
type look struct {
	subject
	bound time.Duration
	// undoes says that see makes things which it removes, also once its context has
	// ended: it is waited for.
	undoes bool
	see    func(ctx context.Context) []Check
}

// together looks at all of them side by side, and returns what they say in their order.
// One that hangs is unknown once its bound is over.
func together(ctx context.Context, looks []look) []Check {
	said := make([]<-chan []Check, len(looks))
	for i, at := range looks {
		said[i] = at.begin(ctx)
	}
	var checks []Check
	for _, answer := range said {
		checks = append(checks, <-answer...)
	}
	return checks
}

func (l look) begin(ctx context.Context) <-chan []Check {
	answer := make(chan []Check, 1)
	go func() {
		ctx, cancel := context.WithTimeoutCause(ctx, l.bound, fmt.Errorf("no answer within %s: %w", l.bound, context.DeadlineExceeded))
		defer cancel()
		seen := make(chan []Check, 1)
		go func() { seen <- l.see(ctx) }()
		if l.undoes {
			answer <- <-seen
			return
		}
		select {
		case checks := <-seen:
			answer <- checks
		case <-ctx.Done():
			answer <- []Check{l.given(ctx)}
		}
	}()
	return answer
}

// given is what is said of a thing that was given up.
func (l look) given(ctx context.Context) Check {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return l.unknown("find out what hangs, as by `dmesg`", "no answer within %s", l.bound)
	}
	return l.unknown("", "not looked at to the end")
}
