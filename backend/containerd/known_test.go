package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// ready is a bottle on disk whose workspace holds one file that went in.
func ready(t *testing.T) places {
	t.Helper()
	root := t.TempDir()
	l := layout{root: filepath.Join(root, "state"), runRoot: filepath.Join(root, "run")}
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	claimed, err := l.claim("demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(claimed.abandon)
	err = errors.Join(
		stage(claimed.places, user{}),
		os.WriteFile(filepath.Join(claimed.place(backend.PlaceWorkspace), "given"), []byte("given"), 0o600),
		writePlan(claimed.places, &backend.Plan{Version: backend.PlanVersion}),
		writeBaseline(t.Context(), claimed.places),
	)
	if err != nil {
		t.Fatal(err)
	}
	return claimed.places
}

func TestF24_WhatCannotBeToldIsTakenForWork(t *testing.T) {
	rewrite := func(change func([]byte) []byte) func(places) error {
		return func(where places) error {
			data, err := os.ReadFile(where.baseline())
			return errors.Join(err, os.WriteFile(where.baseline(), change(data), 0o600))
		}
	}
	for name, damage := range map[string]func(places) error{
		"empty":   rewrite(func([]byte) []byte { return nil }),
		"cut":     rewrite(func(data []byte) []byte { return data[:len(data)/2] }),
		"zeroed":  rewrite(func(data []byte) []byte { return make([]byte, len(data)) }),
		"garbage": rewrite(func([]byte) []byte { return []byte("\xff\x00garbage\n") }),
		"later":   rewrite(func(data []byte) []byte { return []byte(strings.Replace(string(data), "baseline ", "baseline 9", 1)) }),
		"gone":    func(where places) error { return os.Remove(where.baseline()) },
		"directory": func(where places) error {
			return errors.Join(os.Remove(where.baseline()), os.Mkdir(where.baseline(), 0o700))
		},
		"workspace is a file": func(where places) error {
			workspace := where.place(backend.PlaceWorkspace)
			return errors.Join(os.RemoveAll(workspace), os.WriteFile(workspace, []byte("work"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			where := ready(t)
			if unsaved, err := unsavedWork(t.Context(), where); err != nil || unsaved.Any() {
				t.Fatalf("before: %+v, %v", unsaved, err)
			}
			if err := damage(where); err != nil {
				t.Fatal(err)
			}
			unsaved, err := unsavedWork(t.Context(), where)
			if err != nil || !unsaved.Any() || unsaved.Unknown == "" {
				t.Errorf("it is %+v, %v", unsaved, err)
			}
			if err := removeState(t.Context(), where, false); err != nil {
				t.Error(err)
			}
			if there, err := exists(where.place(backend.PlaceWorkspace)); err != nil || !there {
				t.Errorf("the work is gone, %v", err)
			}
		})
	}
}

func TestF24_AnEmptyWorkspaceIsNoWorkWhateverTheBaseline(t *testing.T) {
	where := ready(t)
	err := errors.Join(os.WriteFile(where.baseline(), nil, 0o600), os.Remove(filepath.Join(where.place(backend.PlaceWorkspace), "given")))
	if err != nil {
		t.Fatal(err)
	}
	if unsaved, err := unsavedWork(t.Context(), where); err != nil || unsaved.Any() {
		t.Errorf("it is %+v, %v", unsaved, err)
	}
}

func TestF25_AHalfFilledWorkspaceIsNotTheAgentsWork(t *testing.T) {
	where := ready(t)
	if err := errors.Join(os.Remove(where.baseline()), os.WriteFile(where.unready(), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if unsaved, err := unsavedWork(t.Context(), where); err != nil || unsaved.Any() {
		t.Errorf("it is %+v, %v", unsaved, err)
	}
}

// TestWorkThatComesAfterTheLastLookIsKept: between the look at a bottle and the
// end of its task the agent may still write.
func TestWorkThatComesAfterTheLastLookIsKept(t *testing.T) {
	where := ready(t)
	work := filepath.Join(where.place(backend.PlaceWorkspace), "late")
	if err := os.WriteFile(work, []byte("work"), 0o600); err != nil {
		t.Fatal(err)
	}
	remove := func(ctx context.Context, discard bool) error {
		return (&Backend{}).downward(where, discard)(ctx, stepState)
	}
	if err := remove(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(work); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := remove(ended, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a look that was broken off: %v", err)
	}
	if err := remove(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if there, err := exists(where.state); err != nil || there {
		t.Errorf("with discard it stays: %v, %v", there, err)
	}
}

func TestF24_ALaterPlanIsLeftAloneAGarbledOneIsNot(t *testing.T) {
	for text, refused := range map[string]bool{
		`{"version": 1}`: false, `{"version": 2}`: true, `{"version": -1}`: true, `{"versi`: false, "": false, "\x00\x00": false, `{"version": "x"}`: false,
	} {
		where := ready(t)
		if err := os.WriteFile(where.plan(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkState(where); refused != errdefs.IsFailedPrecondition(err) || (err == nil) == refused {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestF24_ARecordIsKnownByItsLabelOrItsSnapshot(t *testing.T) {
	const want = "demo-abcde"
	for _, test := range []struct {
		label, snapshot string
		known           bool
	}{
		{want, want, true},
		{want, "", true},
		{"\xff\x00", want, true},
		{"", want, true},
		{"other-abcde", want, true},
		{"demo-../../../etc", want, true},
		{"demo-../../../etc", "demo-../../../etc", false},
		{"demo-abc", "", false},
		{"", "", false},
	} {
		record := runtime.Record{Name: "demo", SnapshotKey: test.snapshot, Labels: map[string]string{backend.LabelID: test.label}}
		id, err := idOf(record)
		if test.known && (err != nil || id.String() != want) || !test.known && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%+v: %v, %v", test, id, err)
		}
	}
	for version, ours := range map[string]bool{backend.RecordVersion: true, "2": false, "": false, "\x00": false} {
		record := runtime.Record{Name: "demo", Labels: map[string]string{backend.LabelVersion: version}}
		if err := checkRecord(record); ours != (err == nil) || !ours && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}
