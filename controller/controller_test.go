package controller

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"go.uber.org/goleak"
)

var errTest = errors.New("of a test")

// fake is a backend that counts.
type fake struct {
	reconcile func(name string) (time.Duration, error)
	watchFail error

	mu      sync.Mutex
	bottles []backend.Status
	lists   int
	watches int
	done    map[string][]time.Time
	names   chan string // the newest listener's
	cut     chan struct{}
}

func newFake(names ...string) *fake {
	f := &fake{done: map[string][]time.Time{}}
	for _, name := range names {
		f.bottles = append(f.bottles, backend.Status{Name: name, Phase: backend.PhaseRunning, Detached: true})
	}
	return f
}

func (f *fake) ListActive(context.Context) ([]backend.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	return append([]backend.Status(nil), f.bottles...), nil
}

func (f *fake) Watch(ctx context.Context) (<-chan string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches++
	if f.watchFail != nil {
		return nil, f.watchFail
	}
	names, said, cut := make(chan string), make(chan string), make(chan struct{})
	f.names, f.cut = said, cut
	go func() {
		defer close(names)
		for {
			select {
			case name := <-said:
				select {
				case names <- name:
				case <-ctx.Done():
					return
				}
			case <-cut:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return names, nil
}

func (f *fake) Reconcile(_ context.Context, name string) (time.Duration, error) {
	f.mu.Lock()
	f.done[name] = append(f.done[name], time.Now())
	f.mu.Unlock()
	if f.reconcile == nil {
		return 0, nil
	}
	return f.reconcile(name)
}

// wake tells of a name.
func (f *fake) wake(name string) {
	f.mu.Lock()
	names := f.names
	f.mu.Unlock()
	names <- name
}

func (f *fake) set(bottles ...backend.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bottles = bottles
}

func (f *fake) counts(name string) (lists, watches, reconciles int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists, f.watches, len(f.done[name])
}

func (f *fake) total() (all int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.done {
		all += len(times)
	}
	return all
}

// run runs a controller in a bubble of its own time, and test beside it.
func run(t *testing.T, options Options, test func(t *testing.T, c *Controller)) {
	t.Helper()
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := New(options)
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		synctest.Wait()
		test(t, c)
		cancel()
		<-ended
		time.Sleep(time.Minute) // what the queue has started ends at its next tick
	})
}

// TestWorkGrowsWithWhatChanged: to wake one of 500 bottles looks at that one alone.
func TestWorkGrowsWithWhatChanged(t *testing.T) {
	names := make([]string, 500)
	for i := range names {
		names[i] = "bottle-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	f := newFake(names...)
	run(t, Options{Backend: f}, func(t *testing.T, _ *Controller) {
		if lists, watches, _ := f.counts(""); lists != 1 || watches != 1 || f.total() != 500 {
			t.Fatalf("at its start: %d lists, %d listeners, %d bottles", lists, watches, f.total())
		}
		for range 7 {
			f.wake(names[3])
			synctest.Wait()
		}
		if lists, _, reconciles := f.counts(names[3]); lists != 1 || reconciles != 8 || f.total() != 507 {
			t.Errorf("seven wake-ups came to %d lists and %d looks at it, %d in all", lists, reconciles, f.total())
		}
		time.Sleep(DefaultResync)
		synctest.Wait()
		if lists, _, _ := f.counts(""); lists != 2 || f.total() != 1007 {
			t.Errorf("a resync came to %d lists, %d bottles", lists, f.total())
		}
	})
}

// TestOneNameHasOneWorker: what comes meanwhile is done once more, after that.
func TestOneNameHasOneWorker(t *testing.T) {
	f := newFake()
	var working, most atomic.Int64
	f.reconcile = func(string) (time.Duration, error) {
		most.Store(max(most.Load(), working.Add(1)))
		time.Sleep(time.Second)
		working.Add(-1)
		return 0, nil
	}
	run(t, Options{Backend: f, Workers: 8}, func(t *testing.T, _ *Controller) {
		for range 100 {
			f.wake("tester")
		}
		time.Sleep(time.Minute)
		if _, _, reconciles := f.counts("tester"); most.Load() != 1 || reconciles != 2 {
			t.Errorf("%d worked on it at a time, %d times", most.Load(), reconciles)
		}
		for _, name := range []string{"a", "b", "c"} {
			f.wake(name)
		}
		time.Sleep(time.Minute)
		if most.Load() != 3 {
			t.Errorf("three names had %d workers", most.Load())
		}
	})
}

// TestFailuresAreTriedAgainLaterAndLater, each name by itself, and a panic is one.
func TestFailuresAreTriedAgainLaterAndLater(t *testing.T) {
	f := newFake("errs", "panics", "works")
	var mended atomic.Bool
	f.reconcile = func(name string) (time.Duration, error) {
		switch {
		case name == "works" || mended.Load():
			return 0, nil
		case name == "panics":
			panic("of a test")
		default:
			return 0, errTest
		}
	}
	run(t, Options{Backend: f, Resync: time.Hour}, func(t *testing.T, c *Controller) {
		time.Sleep(10 * time.Minute)
		for _, name := range []string{"errs", "panics"} {
			f.mu.Lock()
			times := f.done[name]
			f.mu.Unlock()
			if len(times) < 15 || len(times) > 35 {
				t.Fatalf("%s was tried %d times", name, len(times))
			}
			if first := times[1].Sub(times[0]); first != firstRetry {
				t.Errorf("%s was tried again after %v", name, first)
			}
			if last := times[len(times)-1].Sub(times[len(times)-2]); last != lastRetry {
				t.Errorf("%s was tried again after %v at last", name, last)
			}
		}
		if _, _, reconciles := f.counts("works"); reconciles != 1 {
			t.Errorf("what works was done %d times", reconciles)
		}
		mended.Store(true)
		time.Sleep(time.Minute)
		before := f.total()
		time.Sleep(10 * time.Minute)
		if f.total() != before {
			t.Errorf("what was mended was done %d times more", f.total()-before)
		}
		if err := c.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatAsksForItIsLookedAtAgain(t *testing.T) {
	f := newFake("tester")
	f.reconcile = func(string) (time.Duration, error) {
		if _, _, reconciles := f.counts("tester"); reconciles < 3 {
			return 10 * time.Second, nil
		}
		return 0, nil
	}
	run(t, Options{Backend: f, Resync: time.Hour}, func(t *testing.T, _ *Controller) {
		for want := 1; want <= 3; want++ {
			if _, _, reconciles := f.counts("tester"); reconciles != want {
				t.Errorf("it was looked at %d times, want %d", reconciles, want)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		time.Sleep(30 * time.Minute)
		if _, _, reconciles := f.counts("tester"); reconciles != 3 {
			t.Errorf("it was looked at %d times", reconciles)
		}
	})
}

// TestF7_ABackendThatWasAwayIsListenedToAgain, and all bottles are looked at then.
func TestF7_ABackendThatWasAwayIsListenedToAgain(t *testing.T) {
	f := newFake("tester")
	run(t, Options{Backend: f, Resync: time.Hour}, func(t *testing.T, _ *Controller) {
		f.mu.Lock()
		f.watchFail = errors.New("away")
		cut := f.cut
		f.mu.Unlock()
		close(cut)
		time.Sleep(10 * time.Minute)
		_, away, _ := f.counts("tester")
		if away < 250 || away > 350 {
			t.Errorf("in ten minutes it was tried %d times", away)
		}
		f.mu.Lock()
		f.watchFail = nil
		f.mu.Unlock()
		time.Sleep(lastPause)
		synctest.Wait()
		if lists, _, reconciles := f.counts("tester"); lists != 2 || reconciles != 2 {
			t.Errorf("%d lists, %d looks", lists, reconciles)
		}
		f.wake("tester")
		synctest.Wait()
		if _, _, reconciles := f.counts("tester"); reconciles != 3 {
			t.Errorf("%d looks", reconciles)
		}
	})
}
