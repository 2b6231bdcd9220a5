package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

// kept is one whose claude has ended now, to be removed after that time; 0 is never.
func kept(after time.Duration) backend.Status {
	bottle := backend.Status{Name: "tester@00000", Phase: backend.PhaseKept, Detached: true, Outcome: &backend.Outcome{Finished: time.Now()}}
	if after > 0 {
		seconds := int64(after / time.Second)
		bottle.Declaration = &backend.Declaration{Life: backend.Life{TTLSecondsAfterFinished: &seconds}}
	}
	return bottle
}

func TestWhatNeedsSomebodyWhoWatchesOverIt(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		bottle backend.Status
		busy   bool
	}{
		"a detached bottle that runs":   {backend.Status{Phase: backend.PhaseRunning, Detached: true}, true},
		"a detached bottle that ends":   {backend.Status{Phase: backend.PhaseStopping, Detached: true}, true},
		"a detached bottle of others":   {backend.Status{Phase: backend.PhaseRunning, Detached: true, Foreign: true}, false},
		"a bottle with a client":        {backend.Status{Phase: backend.PhaseRunning}, false},
		"a dead bottle that was let be": {backend.Status{Phase: backend.PhaseDead, Detached: true}, false},
		"a kept bottle":                 {kept(0), false},
		"one to be removed later":       {kept(time.Hour), true},
	} {
		if Busy([]backend.Status{{Phase: backend.PhaseKept}, test.bottle}, now) != test.busy {
			t.Errorf("%s: it is the other way round", name)
		}
	}
	if Busy([]backend.Status{kept(time.Hour)}, now.Add(2*time.Hour)) {
		t.Error("one whose time is over was looked at, and is let be")
	}
}

// idles runs a controller that ends by itself, and says when it did.
func idles(t *testing.T, f *fake, meanwhile func()) (took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := New(Options{Backend: f, UntilIdle: true, Resync: time.Hour})
		go func() { time.Sleep(time.Minute); meanwhile() }()
		c.Run(t.Context())
		took = time.Since(began)
		time.Sleep(2 * time.Minute)
	})
	return took
}

// TestAnIdleControllerEnds, when the last bottle has gone, and not before.
func TestAnIdleControllerEnds(t *testing.T) {
	if took := idles(t, newFake(), func() {}); took > time.Second {
		t.Errorf("without any bottle it ended after %v", took)
	}
	f := newFake("tester")
	took := idles(t, f, func() {
		f.set(kept(0))
		f.wake("tester")
	})
	if took < time.Minute || took > time.Minute+time.Second {
		t.Errorf("it ended after %v", took)
	}
	if lists, _, _ := f.counts("tester"); lists > 5 {
		t.Errorf("%d lists were made meanwhile", lists)
	}
}

// TestAControllerStaysForWhatIsToBeRemoved, and for what fails.
func TestAControllerStaysForWhatIsToBeRemoved(t *testing.T) {
	f := newFake()
	synctest.Test(t, func(*testing.T) { f.set(kept(10 * time.Minute)) })
	f.reconcile = func(string) (time.Duration, error) {
		if remaining := 10 * time.Minute; f.total() == 1 {
			return remaining, nil
		}
		f.set()
		return 0, nil
	}
	if took := idles(t, f, func() {}); took < 10*time.Minute || took > 10*time.Minute+time.Second {
		t.Errorf("it ended after %v", took)
	}
	f = newFake("tester")
	f.set(backend.Status{Name: "tester", Phase: backend.PhaseDead})
	f.reconcile = func(string) (time.Duration, error) {
		if f.total() < 5 {
			return 0, errTest
		}
		return 0, nil
	}
	idles(t, f, func() {})
	if f.total() != 5 {
		t.Errorf("it was tried %d times", f.total())
	}
}
