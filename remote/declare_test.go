package remote

import (
	"context"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// declaredBackend has one bottle, which a resource has declared.
type declaredBackend struct {
	fakeBackend

	holds    backend.Declaration
	measured []backend.ID
}

func (b *declaredBackend) Find(ctx context.Context, name string) (*backend.Work, error) {
	found, err := b.fakeBackend.Find(ctx, name)
	if err == nil {
		found.Declaration = &b.holds
	}
	return found, err
}

func (b *declaredBackend) Declare(_ context.Context, _ string, declaration backend.Declaration) error {
	b.holds = declaration
	return nil
}

func (b *declaredBackend) ListActive(context.Context) ([]backend.Status, error) {
	return []backend.Status{
		{Name: "lamp", ID: "lamp-abcde", Phase: backend.PhaseRunning, Workspace: "/nowhere/lamp/workspace"},
		{Name: "old@abcde", ID: "old-abcde", Phase: backend.PhaseKept, Workspace: "/nowhere/old/workspace"},
	}, nil
}

func (b *declaredBackend) Usage(_ context.Context, id backend.ID) (backend.Usage, error) {
	b.measured = append(b.measured, id)
	return backend.Usage{Tasks: 7}, nil
}

func declaredOf(t *testing.T, object string) backend.Declaration {
	t.Helper()
	bottle, err := resources.Given([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	declared, err := resources.Declaration(bottle)
	if err != nil {
		t.Fatal(err)
	}
	return *declared
}

// TestADeclarationIsChangedWhereItMay, as the client sees it, and nowhere else.
func TestADeclarationIsChangedWhereItMay(t *testing.T) {
	fake := &declaredBackend{holds: declaredOf(t, lampResource)}
	path, _, _ := serve(t, fake, nil)
	client, err := Dial(t.Context(), path, backend.NoProgress{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	next := func(old, new string, generation int64) backend.Declaration {
		declared := declaredOf(t, strings.Replace(lampResource, old, new, 1))
		declared.Generation = generation
		return declared
	}
	for name, row := range map[string]struct {
		declared backend.Declaration
		is       func(error) bool
	}{
		"what can't change":    {next("OnFailure", "Always", 2), errdefs.IsFailedPrecondition},
		"a path":               {next("/home/aladdin/lamp", "/root", 2), errdefs.IsFailedPrecondition},
		"somebody was quicker": {next("60", "90", 7), errdefs.IsConflict},
		"another name":         {next(`"name":"lamp"`, `"name":"other"`, 2), errdefs.IsFailedPrecondition},
		"no resource":          {backend.Declaration{Generation: 2}, errdefs.IsNotImplemented},
	} {
		if err := client.Declare(t.Context(), "lamp", row.declared); !row.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fake.holds.Generation != 1 {
		t.Errorf("it is %+v", fake.holds)
	}
	if err := client.Declare(t.Context(), "lamp", next("60", "90", 2)); err != nil {
		t.Fatal(err)
	}
	if *fake.holds.Life.TTLSecondsAfterFinished != 90 || fake.holds.Life.Restart != backend.RestartOnFailure || fake.holds.Generation != 2 {
		t.Errorf("it is %+v", fake.holds)
	}
	if err := client.Declare(t.Context(), "other", next("60", "30", 3)); !errdefs.IsNotFound(err) {
		t.Errorf("another bottle: %v", err)
	}
}

// TestOnlyBottlesOfTheUserAreMeasured: there is no name to ask by.
func TestOnlyBottlesOfTheUserAreMeasured(t *testing.T) {
	fake := &declaredBackend{}
	path, _, stop := serve(t, fake, nil)
	link := greeted(t, path)
	var found map[string]supervise.Measured
	for range 2 {
		if err := ask(t.Context(), link, kindMeasure, struct{}{}, &found); err != nil || len(found) != 1 || found["lamp-abcde"].Usage == nil || found["lamp-abcde"].Usage.Tasks != 7 {
			t.Errorf("measured is %+v, %v", found, err)
		}
	}
	if err := ask(t.Context(), link, kindMeasure, map[string]string{"id": "other-abcde"}, &found); !errdefs.IsInvalidArgument(err) {
		t.Errorf("by an id: %v", err)
	}
	_ = link.Close()
	stop()
	if len(fake.measured) != 2 {
		t.Errorf("measured were %v", fake.measured)
	}
}

// TestPlansThatNobodyLaunchesMakeRoom for later ones: who says no to many is not shut out.
func TestPlansThatNobodyLaunchesMakeRoom(t *testing.T) {
	c := &connection{}
	for i := range 10 {
		c.note(prepared{digest: string(rune('a' + i)), plan: &backend.Plan{}, size: maxPrepared / 4})
	}
	if len(c.prepared) != 4 {
		t.Errorf("%d wait", len(c.prepared))
	}
	if _, err := c.planned("a"); !errdefs.IsNotFound(err) {
		t.Errorf("the oldest: %v", err)
	}
	if _, err := c.planned("j"); err != nil {
		t.Error(err)
	}
	if _, err := c.planned("j"); !errdefs.IsNotFound(err) {
		t.Errorf("a second time: %v", err)
	}
	c.note(prepared{digest: "large", plan: &backend.Plan{}, size: 2 * maxPrepared})
	if _, err := c.planned("large"); err != nil || len(c.prepared) != 0 {
		t.Errorf("one alone: %v, %d wait", err, len(c.prepared))
	}
}
