package containerd

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// keptOne is a bottle of which only its state is left.
func keptOne(t *testing.T) (layout, places) {
	t.Helper()
	where := ready(t)
	l := layout{root: filepath.Dir(filepath.Dir(where.state)), runRoot: filepath.Dir(filepath.Dir(where.run))}
	return l, where
}

// letGo ends the claim that ready has made.
func letGo(t *testing.T, where places) {
	t.Helper()
	if err := os.RemoveAll(where.run); err != nil {
		t.Fatal(err)
	}
}

func TestAKeptBottleIsAdoptedByOneAlone(t *testing.T) {
	l, where := keptOne(t)
	if _, err := l.adopt(where.id, where.id.Name); !errdefs.IsUnavailable(err) {
		t.Fatalf("a held one: %v", err)
	}
	letGo(t, where)
	made, err := l.adopt(where.id, where.id.Name)
	if err != nil {
		t.Fatal(err)
	}
	if claimed, err := l.claimed(backend.ID{Name: where.id.Name}); err != nil || !claimed {
		t.Errorf("it does not count as living: %v", err)
	}
	if _, err := l.adopt(where.id, where.id.Name); !errdefs.IsUnavailable(err) {
		t.Errorf("twice: %v", err)
	}
	if keep, err := keeps(t.Context(), where); err != nil || !keep {
		t.Errorf("in the middle it is not kept, %v", err)
	}
	made.abandon()
	if _, err := os.Stat(filepath.Join(where.place(backend.PlaceWorkspace), "given")); err != nil {
		t.Error(err)
	}
	if there, err := exists(where.resuming()); err != nil || there {
		t.Errorf("a mark stays, %v", err)
	}
}

func TestAKeptBottleGetsAnotherName(t *testing.T) {
	l, where := keptOne(t)
	letGo(t, where)
	made, err := l.adopt(where.id, "second")
	if err != nil {
		t.Fatal(err)
	}
	defer made.abandon()
	if made.id != (backend.ID{Name: "second", Suffix: where.id.Suffix}) {
		t.Errorf("it is %v", made.id)
	}
	for _, path := range []string{where.state, where.run} {
		if there, err := exists(path); err != nil || there {
			t.Errorf("%s is still there, %v", path, err)
		}
	}
	if _, err := os.Stat(filepath.Join(made.place(backend.PlaceWorkspace), "given")); err != nil {
		t.Error(err)
	}
	if unsaved, err := unsavedWork(t.Context(), made.places); err != nil || unsaved.Differs() {
		t.Errorf("by its name alone it is work: %+v, %v", unsaved, err)
	}
}

func TestT18_PlacesOfAKeptBottleAreNotFollowed(t *testing.T) {
	who := user{host: uint32(os.Geteuid())} //nolint:gosec // a uid
	for name, plant := range map[string]func(where places) error{
		"a workspace that is a link": func(where places) error {
			dir := where.place(backend.PlaceWorkspace)
			return errors.Join(os.RemoveAll(dir), os.Symlink("/etc", dir))
		},
		"a home that is a file": func(where places) error {
			dir := where.place(backend.PlaceHome)
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
		},
		"a workspace of another": func(where places) error { return os.Chown(where.place(backend.PlaceWorkspace), 12345, 12345) },
	} {
		t.Run(name, func(t *testing.T) {
			_, where := keptOne(t)
			if err := plant(where); err != nil {
				t.Fatal(err)
			}
			if err := stageAgain(where, who); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("it is staged: %v", err)
			}
		})
	}
	_, where := keptOne(t)
	outside := t.TempDir()
	ssh := filepath.Join(where.place(backend.PlaceHome), ".ssh")
	if err := errors.Join(os.Remove(ssh), os.Symlink(outside, ssh), os.RemoveAll(where.run), os.Mkdir(where.run, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := stageAgain(where, who); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(ssh); err != nil || !info.IsDir() {
		t.Errorf("the mount point is %v, %v", info, err)
	}
}

func TestClaudesOwnStateOutlivesAResume(t *testing.T) {
	_, where := keptOne(t)
	home := where.place(backend.PlaceHome)
	target := againTarget{hostTarget{places: where, user: user{host: uint32(os.Geteuid())}}} //nolint:gosec // a uid
	give := func() {
		t.Helper()
		builder := archive.NewBuilder()
		builder.File(claudeState, 0o600, []byte("ours"))
		builder.File(".gitconfig", 0o600, []byte("ours"))
		stream, err := builder.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Extract(t.Context(), backend.PlaceHome, bytes.NewReader(stream)); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(name, want string) {
		t.Helper()
		if data, err := os.ReadFile(filepath.Join(home, name)); err != nil || string(data) != want {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
	}
	give()
	holds(claudeState, "ours")
	for _, name := range []string{claudeState, ".gitconfig"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("claude's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	give()
	holds(claudeState, "claude's")
	holds(".gitconfig", "ours")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.Remove(filepath.Join(home, claudeState)), os.Symlink(outside, filepath.Join(home, claudeState))); err != nil {
		t.Fatal(err)
	}
	give()
	holds(claudeState, "ours")
	if _, err := os.Lstat(outside); err == nil {
		t.Error("a link was followed")
	}
}

func TestACutInputIsAnError(t *testing.T) {
	var stream bytes.Buffer
	writer := tar.NewWriter(&stream)
	if err := writer.WriteHeader(&tar.Header{Name: "a", Mode: 0o600, Size: 1000, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := without("b", io.LimitReader(&stream, 700)); err == nil {
		t.Error("it is taken for whole")
	}
}

func TestF2_WhatWasNeverWholeIsNotGoneOnWith(t *testing.T) {
	l, where := keptOne(t)
	letGo(t, where)
	// As a kill in the middle of a launch or a fork leaves it.
	if err := errors.Join(os.Remove(where.baseline()), os.WriteFile(where.unready(), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	made, err := l.adopt(where.id, where.id.Name)
	if !errdefs.IsFailedPrecondition(err) {
		t.Errorf("it is adopted: %v", err)
	}
	if err == nil {
		made.abandon()
	}
	if there, err := exists(where.resuming()); err != nil || there {
		t.Errorf("a mark stays, %v", err)
	}
}

func TestF2_ARenameThatWasCutIsDoneAgain(t *testing.T) {
	l, where := keptOne(t)
	letGo(t, where)
	to := l.bottle(backend.ID{Name: "second", Suffix: where.id.Suffix})
	// A kill before the state moved leaves a lock that nobody holds.
	taken, err := takeFree(to)
	if err != nil {
		t.Fatal(err)
	}
	taken.release()
	made, err := l.adopt(where.id, "second")
	if err != nil {
		t.Fatal(err)
	}
	made.abandon()
	if there, err := exists(to.state); err != nil || !there {
		t.Errorf("the work is not there, %v", err)
	}
}

func TestF2_AKeptBottleGoesByTheUsersWordAlone(t *testing.T) {
	_, where := keptOne(t)
	late := filepath.Join(where.place(backend.PlaceWorkspace), "late")
	if err := os.WriteFile(late, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syncKept(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	// All of it came home meanwhile, and who brought it was killed.
	if err := os.Remove(late); err != nil {
		t.Fatal(err)
	}
	if err := removeState(t.Context(), where, false); err != nil {
		t.Fatal(err)
	}
	if there, err := exists(where.place(backend.PlaceWorkspace)); err != nil || !there {
		t.Errorf("it is gone, %v", err)
	}
	settled := &launch{claim: &claim{places: where, adopted: true}, plan: &backend.Plan{Version: backend.PlanVersion}}
	if err := settled.settle(); err != nil {
		t.Fatal(err)
	}
	if keep, err := keeps(t.Context(), where); err != nil || keep {
		t.Errorf("it is kept though it runs again, %v", err)
	}
}
