package containerd

import (
	"os"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func TestKeptBottlesAreFoundByNameAndHandle(t *testing.T) {
	b := &Backend{layout: newLayout(t.TempDir(), t.TempDir(), "address", "namespace"), options: Options{}.withDefaults()}
	if err := b.layout.make(); err != nil {
		t.Fatal(err)
	}
	keep := func(name string) backend.ID {
		t.Helper()
		claimed, err := b.layout.claim(name)
		if err != nil {
			t.Fatal(err)
		}
		plan := &backend.Plan{Version: backend.PlanVersion, Name: name, Agent: "genie", Detail: Detail{Address: "socket"}}
		if err := writePlan(claimed.places, plan); err != nil {
			t.Fatal(err)
		}
		claimed.lock.release()
		if err := os.RemoveAll(claimed.run); err != nil {
			t.Fatal(err)
		}
		return claimed.id
	}
	lamp, first, second := keep("lamp"), keep("two"), keep("two")
	for name, want := range map[string]backend.ID{"lamp": lamp, lamp.Handle(): lamp, first.Handle(): first, second.Handle(): second} {
		name, suffix := split(name)
		found, err := b.findKept(name, suffix)
		if err != nil || found.ID != want || found.Running || found.Plan == nil || found.Plan.Agent != "genie" {
			t.Errorf("%s@%s is %+v, %v", name, suffix, found, err)
		}
	}
	if _, err := b.findKept("two", ""); !errdefs.IsConflict(err) {
		t.Errorf("an ambiguous name: %v", err)
	}
	if _, err := b.findKept("none", ""); !errdefs.IsNotFound(err) {
		t.Errorf("an unknown name: %v", err)
	}
	work, err := b.findKept("lamp", "")
	if err != nil {
		t.Fatal(err)
	}
	release, err := b.Take(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Take(t.Context(), work); !errdefs.IsUnavailable(err) {
		t.Errorf("taken twice: %v", err)
	}
	let := release
	go let() // as a command does that has just ended
	if release, err = b.Take(t.Context(), work); err != nil {
		t.Fatalf("taken after its holder let go: %v", err)
	}
	if err := b.Remove(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	release()
	if there, err := exists(b.layout.bottle(lamp).run); err != nil || there {
		t.Errorf("its run directory stays, %v", err)
	}
	if _, err := b.Take(t.Context(), work); !errdefs.IsNotFound(err) {
		t.Errorf("taken once gone: %v", err)
	}
}
