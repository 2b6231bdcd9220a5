package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/conformance/fake"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// keptFake is the fake with as much of a keeper as a run needs to begin its bottles.
type keptFake struct {
	openedKeeper // for what is not asked for
	*fake.Backend

	most func(name string) error // what a launch is refused with
}

func (k *keptFake) Close() error { return nil }

func (k *keptFake) Find(ctx context.Context, name string) (*backend.Work, error) {
	list, err := k.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	for _, status := range list {
		if status.Name == name {
			id, err := backend.ParseID(status.ID)
			return &backend.Work{ID: id, Running: status.Phase != backend.PhaseKept}, err
		}
	}
	return nil, errdefs.ErrNotFound
}

func (k *keptFake) ListActive(ctx context.Context) ([]backend.Status, error) {
	return k.Backend.ListActive(ctx)
}

func (k *keptFake) Prepare(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	return k.Backend.Prepare(ctx, spec)
}

func (k *keptFake) PrepareCleanup(ctx context.Context) (*backend.CleanupPlan, error) {
	return k.Backend.PrepareCleanup(ctx)
}

func (k *keptFake) Cleanup(ctx context.Context, plan *backend.CleanupPlan) error {
	return k.Backend.Cleanup(ctx, plan)
}

func (k *keptFake) Launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) (backend.Bottle, error) {
	if k.most != nil {
		if err := k.most(plan.Name); err != nil {
			return nil, err
		}
	}
	return k.Backend.Launch(ctx, plan, secrets)
}

// sleeping is a fake whose claude waits for its end.
func sleeping(t *testing.T) *keptFake {
	t.Helper()
	dir := t.TempDir()
	claude := filepath.Join(dir, "claude")
	if err := os.WriteFile(claude, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	k := &keptFake{Backend: fake.New(filepath.Join(dir, "bottles"), claude)}
	t.Cleanup(func() {
		list, _ := k.ListActive(context.Background())
		for _, status := range list {
			_ = k.Die(status.Name)
		}
	})
	return k
}

// fanOutOf is a run of so many tasks that was said yes to.
func fanOutOf(t *testing.T, a *application, k *keptFake, tasks int) *fanOut {
	t.Helper()
	o := runOptions{startOptions: startOptions{name: "lamp", yes: true, detach: true}}
	f := &fanOut{launching: launchingOn(t, a, k, o.startOptions), options: o, keeper: k, spec: backend.Spec{
		Manifest: &backend.Manifest{Agent: backend.AgentFile{Name: "genie"}}, Home: t.TempDir(), Cwd: t.TempDir(), Lookup: func(string) (string, bool) { return "", false },
	}}
	list := make([]string, tasks)
	for i := range list {
		list[i] = fmt.Sprint("task ", i)
	}
	if err := f.number(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.first, err = f.prepare(t.Context(), f.wish(0)); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestOfTwoRunsAtOnceOneWinsEachNumber, and the other goes on with the next one: no task is
// lost, and no bottle has two.
func TestOfTwoRunsAtOnceOneWinsEachNumber(t *testing.T) {
	const tasks = 6
	a, k := quietApplication(t), sleeping(t)
	both := []*fanOut{fanOutOf(t, a, k, tasks), fanOutOf(t, a, k, tasks)}
	if both[0].results[0].Name != both[1].results[0].Name {
		t.Fatal("they have different numbers from the beginning")
	}
	var group errgroup.Group
	var mu sync.Mutex
	owners := map[string]backend.ID{}
	for _, f := range both {
		for i := range f.results {
			group.Go(func() error {
				id, err := f.begin(t.Context(), i)
				mu.Lock()
				defer mu.Unlock()
				if other, twice := owners[id.Name]; twice {
					return fmt.Errorf("%s and %s have one name", other, id)
				}
				owners[id.Name] = id
				if err == nil && f.results[i].Name != id.Name {
					err = fmt.Errorf("%s is called %s", id, f.results[i].Name)
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	list, err := k.ListActive(t.Context())
	if err != nil || len(list) != 2*tasks || len(owners) != 2*tasks {
		t.Errorf("there are %d, %d were won, %v", len(list), len(owners), err)
	}
}

// TestANumberOfWhichSomethingIsKeptIsNotTaken by a run that has looked before.
func TestANumberOfWhichSomethingIsKeptIsNotTaken(t *testing.T) {
	a, k := quietApplication(t), sleeping(t)
	late, early := fanOutOf(t, a, k, 1), fanOutOf(t, a, k, 1)
	if _, err := early.begin(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	live, err := k.Open(t.Context(), "lamp-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := late.begin(t.Context(), 0); err != nil || id.Name != "lamp-2" {
		t.Errorf("it is %s, %v", id, err)
	}
	list, err := k.ListActive(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "lamp-2" || !strings.HasPrefix(list[1].Name, "lamp-1@") {
		t.Errorf("there is %+v, %v", list, err)
	}
}

// TestARunWaitsForRoomThatItsOwnBottlesTake, and for nobody else's.
func TestARunWaitsForRoomThatItsOwnBottlesTake(t *testing.T) {
	a, k := quietApplication(t), sleeping(t)
	f := fanOutOf(t, a, k, 2)
	var mu sync.Mutex
	full, launches, refused := false, 0, make(chan struct{}, 1)
	k.most = func(string) error {
		mu.Lock()
		defer mu.Unlock()
		launches++
		if full {
			select {
			case refused <- struct{}{}:
			default:
			}
			return fmt.Errorf("1 bottles of yours run: %w", errdefs.ErrResourceExhausted)
		}
		return nil
	}
	if _, err := f.begin(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	full = true
	mu.Unlock()
	begun := make(chan error, 1)
	go func() { _, err := f.begin(t.Context(), 1); begun <- err }()
	select {
	case <-refused:
	case err := <-begun:
		t.Fatal(err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	f.room.leave(true)
	if err := <-begun; err != nil {
		t.Error(err)
	}
	if launches != 3 {
		t.Errorf("two bottles were tried %d times, want 3: one was refused once", launches)
	}
	f.room.leave(true)
	full = true
	if _, err := f.begin(t.Context(), 0); !errdefs.IsResourceExhausted(err) {
		t.Errorf("while none of its own runs: %v", err)
	}
}
