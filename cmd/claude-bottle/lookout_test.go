package main

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// seenBackend shows one look after the other, the last one for ever.
type seenBackend struct {
	openedKeeper
	mu    sync.Mutex
	looks []look
	found []string // what was asked for by Find
	kept  map[string]bool
	told  chan string
}

type look struct {
	bottles []backend.Status
	err     error
}

func (b *seenBackend) ListActive(context.Context) ([]backend.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.looks[0]
	if len(b.looks) > 1 {
		b.looks = b.looks[1:]
	}
	return now.bottles, now.err
}

func (b *seenBackend) Find(_ context.Context, name string) (*backend.Work, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = append(b.found, name)
	if !b.kept[name] {
		return nil, errdefs.ErrNotFound
	}
	return &backend.Work{ID: backend.ID{Name: "genie", Suffix: "00001"}}, nil
}

func (b *seenBackend) Watch(context.Context) (<-chan string, error) { return b.told, nil }

func genie(suffix string, phase backend.Phase) backend.Status {
	return backend.Status{Name: "genie", ID: "genie-" + suffix, Phase: phase}
}

func untilOf(t *testing.T, b *seenBackend, met func(*backend.Status) bool) error {
	t.Helper()
	b.told = make(chan string, len(b.looks)) // so that no test waits for the clock
	for range b.looks {
		b.told <- "genie"
	}
	looks, stop, err := newLookout(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	return looks.until(t.Context(), backend.ID{Name: "genie", Suffix: "00001"}, met)
}

func TestAnotherLifeOfANameIsNotTakenForTheOneWaitedFor(t *testing.T) {
	b := &seenBackend{kept: map[string]bool{"genie@00001": true}, looks: []look{
		{bottles: []backend.Status{genie("00001", backend.PhaseRunning)}},
		{bottles: []backend.Status{genie("00002", backend.PhaseKept)}},
		{bottles: []backend.Status{genie("00002", backend.PhaseKept), {Name: "genie@00001", ID: "genie-00001", Phase: backend.PhaseKept, Outcome: &backend.Outcome{ExitCode: 5}}}},
	}}
	code := 0
	err := untilOf(t, b, func(status *backend.Status) bool {
		if finished(status) {
			code = status.Outcome.ExitCode
		}
		return finished(status)
	})
	if err != nil || code != 5 {
		t.Errorf("it ended with %d, %v", code, err)
	}
}

func TestABottleOnItsWayToKeptIsNotGone(t *testing.T) {
	b := &seenBackend{kept: map[string]bool{"genie@00001": true}, looks: []look{
		{}, {},
		{bottles: []backend.Status{genie("00001", backend.PhaseKept)}},
	}}
	if err := untilOf(t, b, func(status *backend.Status) bool {
		if gone(status) {
			t.Error("it was taken for gone")
		}
		return finished(status)
	}); err != nil {
		t.Error(err)
	}
	b = &seenBackend{looks: []look{{bottles: []backend.Status{genie("00001", backend.PhaseRunning)}}, {}}}
	if err := untilOf(t, b, gone); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

func TestF7_ADaemonThatStartsAgainIsWaitedFor(t *testing.T) {
	b := &seenBackend{looks: []look{
		{bottles: []backend.Status{genie("00001", backend.PhaseStarting)}},
		{err: errdefs.ErrUnavailable}, {err: errdefs.ErrUnavailable},
		{bottles: []backend.Status{genie("00001", backend.PhaseRunning)}},
	}}
	if err := untilOf(t, b, ready); err != nil {
		t.Error(err)
	}
	b.looks = []look{{bottles: []backend.Status{genie("00001", backend.PhaseStarting)}}, {err: errdefs.ErrPermissionDenied}}
	if err := untilOf(t, b, ready); !errors.Is(err, errdefs.ErrPermissionDenied) {
		t.Errorf("a daemon that refuses gave %v", err)
	}
}

// handedBackend shows a bottle without a supervisor until somebody asks for it.
type handedBackend struct{ *seenBackend }

func (b handedBackend) ListActive(context.Context) ([]backend.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	running := genie("00001", backend.PhaseRunning)
	if len(b.found) == 0 {
		running.Message = "its supervisor died"
	}
	return []backend.Status{running}, nil
}

func TestABottleThatNeedsAHandGetsIt(t *testing.T) {
	b := handedBackend{&seenBackend{kept: map[string]bool{"genie@00001": true}}}
	looks, stop, err := newLookout(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := looks.until(t.Context(), backend.ID{Name: "genie", Suffix: "00001"}, ready); err != nil {
		t.Fatal(err)
	}
	for _, name := range b.found {
		if name != "genie@00001" {
			t.Errorf("asked for was %q", name)
		}
	}
}

func TestConditionsAreReadAsKubectlReadsThem(t *testing.T) {
	for text, want := range map[string]condition{
		"condition=ready": conditionReady, "condition=Finished": conditionFinished, "delete": conditionDelete, "condition=credentialsmissing": conditionMissing,
	} {
		var c condition
		if err := c.Set(text); err != nil || c != want {
			t.Errorf("%s is %s, %v", text, c, err)
		}
	}
	lost := &backend.Status{Phase: backend.PhaseKept, Outcome: &backend.Outcome{Missing: []string{"KEY"}}}
	if conditionMissing.met(nil) || conditionMissing.met(&backend.Status{}) || !conditionMissing.met(lost) || !conditionFinished.met(lost) {
		t.Error("who waits for its credentials isn't told from others")
	}
	if err := new(condition).Set("condition=Happy"); err == nil {
		t.Error("an unknown condition was taken")
	}
}
