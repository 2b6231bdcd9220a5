package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

// everySeen calls f with every state that can be observed.
func everySeen(f func(seen)) {
	for bits := range 1 << 11 {
		for phase := taskAbsent; phase <= taskStopped; phase++ {
			bit := func(n int) bool { return bits&(1<<n) != 0 }
			f(seen{
				record: bit(0), supervisor: bit(1), snapshot: bit(2), neck: bit(3), provisioned: bit(4),
				leftovers: bit(5), run: bit(6), state: bit(7), marked: bit(8), fence: bit(9), unsynced: bit(10), task: phase,
			})
		}
	}
}

func walk(t *testing.T, w wish, s seen) seen {
	t.Helper()
	for range 32 {
		steps := next(w, s)
		if len(steps) == 0 {
			return s
		}
		for _, what := range steps {
			s.done(what)
		}
	}
	t.Fatalf("from %+v the wish %d is never fulfilled", s, w)
	return s
}

func TestI1EveryStateLeadsDownToNothing(t *testing.T) {
	everySeen(func(s seen) {
		end := walk(t, wishGone, s)
		if end.record || end.task != taskAbsent || end.snapshot || end.leftovers || end.run || end.state {
			t.Fatalf("from %+v down ends with %+v", s, end)
		}
	})
}

func TestNextUpEndsRunningAndProvisioned(t *testing.T) {
	end := walk(t, wishUp, seen{record: true, run: true, state: true})
	if end.task != taskRunning || !end.neck || !end.fence || !end.provisioned || !end.supervisor || !end.snapshot {
		t.Fatalf("up ends with %+v", end)
	}
}

func TestNextUpOverlapsProvisioningWithTheTask(t *testing.T) {
	got := next(wishUp, seen{record: true, snapshot: true})
	for _, want := range []step{stepSupervise, stepProvision, stepCreate} {
		if !slices.Contains(got, want) {
			t.Errorf("next names %q, without %q", got, want)
		}
	}
}

func TestNextDownKeepsTheLockUntilEverythingElseIsGone(t *testing.T) {
	everySeen(func(s seen) {
		if slices.Contains(next(wishGone, s), stepRun) && (s.record || s.snapshot || s.leftovers || s.state || s.task != taskAbsent) {
			t.Fatalf("the run directory goes too early in %+v", s)
		}
	})
}

func TestF16_WorkIsOnTheDiskBeforeAnythingIsForgotten(t *testing.T) {
	everySeen(func(s seen) {
		steps := next(wishGone, s)
		forgets := slices.Contains(steps, stepUnsnapshot) || slices.Contains(steps, stepForget)
		if forgets && s.unsynced {
			t.Fatalf("%v comes before the work is on the disk in %+v", steps, s)
		}
		if slices.Contains(steps, stepSync) && s.task != taskAbsent {
			t.Fatalf("the work is put on the disk while somebody writes in %+v", s)
		}
	})
}

func TestReconcileWaitsForOtherStepsAfterAFailure(t *testing.T) {
	boom := errors.New("boom")
	var mu sync.Mutex
	active := 0
	do := func(ctx context.Context, what step) error {
		mu.Lock()
		active++
		mu.Unlock()
		defer func() { mu.Lock(); active--; mu.Unlock() }()
		if what == stepSnapshot {
			return boom
		}
		<-ctx.Done()
		return ctx.Err()
	}
	err := reconcile(t.Context(), wishUp, seen{record: true}, do, backend.NoProgress{})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if active != 0 {
		t.Fatalf("%d steps go on after reconcile has returned", active)
	}
}

func TestReconcileDoesEachStepOnce(t *testing.T) {
	var mu sync.Mutex
	count := map[step]int{}
	do := func(_ context.Context, what step) error {
		mu.Lock()
		defer mu.Unlock()
		count[what]++
		return nil
	}
	if err := reconcile(t.Context(), wishUp, seen{record: true}, do, backend.NoProgress{}); err != nil {
		t.Fatal(err)
	}
	for what, n := range count {
		if n != 1 {
			t.Errorf("%s was done %d times", what, n)
		}
	}
	if fmt.Sprint(len(count)) != "7" {
		t.Errorf("steps done: %v", count)
	}
}
