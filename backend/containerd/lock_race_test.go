package containerd

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// TestF22_AskersStandInNobodysWay: list asks for locks all the time, and neither
// a claim nor who takes a dead bottle may take it for a holder.
func TestF22_AskersStandInNobodysWay(t *testing.T) {
	root := t.TempDir()
	l := layout{root: filepath.Join(root, "state"), runRoot: filepath.Join(root, "run")}
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				ids, err := l.ids()
				if err != nil {
					t.Errorf("list: %v", err)
				}
				for _, id := range ids {
					if _, err := held(l.bottle(id).lock()); err != nil {
						t.Errorf("ask: %v", err)
					}
				}
			}
		})
	}
	for range 100 {
		made, err := l.claim("demo")
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := l.takeLock(made.places); !errdefs.IsUnavailable(err) {
			t.Errorf("the lock of a living bottle: %v", err)
		}
		made.lock.release()
		taken, err := l.takeLock(made.places)
		if err != nil {
			t.Errorf("the lock of a dead bottle: %v", err)
			break
		}
		made.lock = taken
		made.abandon()
	}
	close(done)
	askers.Wait()
}

// TestF22_WhoTakesABottleDownIsNoLivingBottle: a start of that name waits for
// the taker instead of saying that the name is in use.
func TestF22_WhoTakesABottleDownIsNoLivingBottle(t *testing.T) {
	where := ready(t)
	l := layout{root: filepath.Dir(filepath.Dir(where.state)), runRoot: filepath.Dir(filepath.Dir(where.run))}
	b := &Backend{layout: l}
	record := runtime.Record{Name: where.id.Name, Labels: map[string]string{backend.LabelID: where.id.String()}}
	if alive, err := b.held(record); err != nil || !alive {
		t.Fatalf("a living bottle is held: %v, %v", alive, err)
	}
	if err := removeRun(where); err != nil { // its supervisor is gone, and the host was booted
		t.Fatal(err)
	}
	taken, err := l.takeLock(where)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.release()
	if alive, err := b.held(record); err != nil || alive {
		t.Errorf("while it is taken down it is held: %v, %v", alive, err)
	}
}

// TestF22_ALivingBottleKeepsItsNameFromASweep: without a record the name alone
// tells the shim of a new bottle from one of the dead.
func TestF22_ALivingBottleKeepsItsNameFromASweep(t *testing.T) {
	root := t.TempDir()
	l := layout{root: filepath.Join(root, "state"), runRoot: filepath.Join(root, "run")}
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	dead, err := l.claim("demo")
	if err != nil {
		t.Fatal(err)
	}
	dead.lock.release()
	wants := func(want bool, when string) {
		t.Helper()
		if got, err := l.claimed(dead.id); err != nil || got != want {
			t.Errorf("%s: claimed is %v, %v", when, got, err)
		}
	}
	wants(false, "nobody else")
	other, err := l.claim("other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.lock.release()
	wants(false, "another name")
	living, err := l.claim("demo")
	if err != nil {
		t.Fatal(err)
	}
	wants(true, "a start of the same name")
	living.lock.release()
	wants(false, "it is dead")
	taken, err := l.takeLock(living.places)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.release()
	wants(false, "it is dead and being taken down")
}

// TestF1_AHolderThatIsDyingIsNoneForLong: who was killed lets go of its lock a
// moment later, and the name is not in use until then.
func TestF1_AHolderThatIsDyingIsNoneForLong(t *testing.T) {
	root := t.TempDir()
	b := &Backend{layout: layout{root: filepath.Join(root, "state"), runRoot: filepath.Join(root, "run")}}
	if err := b.layout.make(); err != nil {
		t.Fatal(err)
	}
	made, err := b.layout.claim("demo")
	if err != nil {
		t.Fatal(err)
	}
	record := runtime.Record{Name: "demo", SnapshotKey: made.id.String(), Labels: map[string]string{backend.LabelID: made.id.String()}}
	if alive, err := b.lives(t.Context(), record); err != nil || !alive {
		t.Errorf("who holds on: %v, %v", alive, err)
	}
	lives := make(chan bool, 1)
	go func() {
		alive, err := b.lives(t.Context(), record)
		lives <- alive || err != nil
	}()
	made.lock.release()
	if <-lives {
		t.Error("who lets go is taken for alive")
	}
}
