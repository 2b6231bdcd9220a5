package containerd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
)

// endedAt makes the state directory of a bottle whose claude has ended at that time.
func endedAt(t *testing.T, finished time.Time, life backend.Life) places {
	t.Helper()
	paths := newLayout(t.TempDir(), t.TempDir(), "address", "namespace")
	if err := paths.make(); err != nil {
		t.Fatal(err)
	}
	where := paths.bottle(backend.ID{Name: "tester", Suffix: "00000"})
	if err := os.Mkdir(where.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeDeclaration(where, &backend.Declaration{Life: life}); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(backend.Outcome{Finished: finished, Reason: backend.ReasonCompleted})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(where.outcome(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return where
}

// layoutOf is the layout that the bottle is of.
func layoutOf(where places) layout {
	return layout{root: filepath.Dir(filepath.Dir(where.state)), runRoot: filepath.Dir(filepath.Dir(where.run))}
}

// TestF20_TimeAfterTheEndIsThatOfTheWall: one that was declared, counted from the end.
func TestF20_TimeAfterTheEndIsThatOfTheWall(t *testing.T) {
	now := time.Now()
	hour, none := int64(3600), int64(0)
	for name, test := range map[string]struct {
		finished  time.Time
		after     *int64
		remaining time.Duration
		due       bool
	}{
		"none declared":               {now.Add(-time.Hour), nil, 0, false},
		"it is to go at once":         {now, &none, 0, true},
		"half an hour ago":            {now.Add(-30 * time.Minute), &hour, 30 * time.Minute, false},
		"two hours ago":               {now.Add(-2 * time.Hour), &hour, 0, true},
		"the clock was a year behind": {now.AddDate(-1, 0, 0), &hour, 0, true},
		"the clock was a day ahead":   {now.Add(24 * time.Hour), &hour, 25 * time.Hour, false},
	} {
		where := endedAt(t, test.finished, backend.Life{TTLSecondsAfterFinished: test.after})
		remaining, due, err := timeLeft(where, now)
		if err != nil || due != test.due || (remaining-test.remaining).Abs() > time.Second {
			t.Errorf("%s: %v are left, due is %v: %v", name, remaining, due, err)
		}
	}
	where := endedAt(t, now, backend.Life{TTLSecondsAfterFinished: &none})
	if err := os.Remove(where.outcome()); err != nil {
		t.Fatal(err)
	}
	if remaining, due, err := timeLeft(where, now); remaining != 0 || due || err != nil {
		t.Errorf("of one that has not ended %v are left, due is %v: %v", remaining, due, err)
	}
	if err := os.WriteFile(where.declaration(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, due, err := timeLeft(where, now); due || err == nil {
		t.Errorf("of a spoilt declaration due is %v: %v", due, err)
	}
}

// TestF20_ABottleWithoutARecordGoesWhenItsTimeIsOver, unless somebody has it, or nobody
// can say what work is in it.
func TestF20_ABottleWithoutARecordGoesWhenItsTimeIsOver(t *testing.T) {
	none, hour := int64(0), int64(3600)
	over := backend.Life{TTLSecondsAfterFinished: &none}
	reconcile := func(where places) (time.Duration, error) {
		b := &Backend{layout: layoutOf(where)}
		return b.reconcileKept(t.Context(), where)
	}
	// What went in is not known: all of it may be work.
	where := endedAt(t, time.Now().Add(-time.Hour), over)
	if err := os.Mkdir(where.place(backend.PlaceWorkspace), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(where.place(backend.PlaceWorkspace)+"/work", []byte("work"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again, err := reconcile(where); again != 0 || err != nil {
			t.Errorf("it is to be looked at after %v: %v", again, err)
		}
	}
	events, err := supervise.ReadEvents(where.state)
	if err != nil || len(events) != 1 || events[0].Reason != reasonUnsaved {
		t.Errorf("said was %+v: %v", events, err)
	}

	where = endedAt(t, time.Now(), backend.Life{TTLSecondsAfterFinished: &hour})
	if again, err := reconcile(where); again <= 59*time.Minute || again > time.Hour || err != nil {
		t.Errorf("it is to be looked at after %v: %v", again, err)
	}
	where = endedAt(t, time.Now().AddDate(1, 0, 0), over)
	if again, err := reconcile(where); again != longestWait || err != nil {
		t.Errorf("with a clock that went back it is to be looked at after %v: %v", again, err)
	}

	where = endedAt(t, time.Now(), over)
	taken, err := layoutOf(where).takeLock(where)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := reconcile(where); again != 0 || err != nil {
		t.Errorf("of one that somebody holds: %v, %v", again, err)
	}
	if there, err := exists(where.state); err != nil || !there {
		t.Error("one that somebody holds was removed")
	}
	taken.release()
}
