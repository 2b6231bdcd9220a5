package containerd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// TestF3_ABottleIsToldOfWhenItsSupervisorGoes, as long as there is anything of it to
// hold, and what is kept of it is told last.
func TestF3_ABottleIsToldOfWhenItsSupervisorGoes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	paths := newLayout(t.TempDir(), t.TempDir(), "address", "namespace")
	if err := paths.make(); err != nil {
		t.Fatal(err)
	}
	where := paths.bottle(backend.ID{Name: "tester", Suffix: "00000"})
	if err := os.Mkdir(where.run, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(where.run) // the path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	listener, err := net.Listen("unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), supervise.ControlSocket))
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan *neck.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			close(reached)
			return
		}
		link, err := neck.Server(conn)
		if err != nil {
			close(reached)
			return
		}
		reached <- link
	}()
	w := &watcher{backend: &Backend{layout: paths}, names: make(chan string), attended: map[backend.ID]bool{}}
	w.scan(t.Context())
	w.scan(t.Context()) // it is attended once
	link, ok := <-reached
	if !ok {
		t.Fatal("nobody came")
	}
	select {
	case name := <-w.names:
		t.Fatalf("%s was told of while its supervisor lived", name)
	default:
	}
	_ = listener.Close()
	_ = link.Close()
	for range 3 {
		if name := <-w.names; name != "tester" {
			t.Fatalf("told was %s", name)
		}
	}
	if err := os.RemoveAll(where.run); err != nil {
		t.Fatal(err)
	}
	for name := range w.names {
		if name == where.id.Handle() {
			break
		}
	}
	w.group.Wait()
	if len(w.attended) != 0 {
		t.Errorf("still attended are %v", w.attended)
	}
}

func TestDirectoriesOfBottlesAreToldOf(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	paths := newLayout(t.TempDir(), t.TempDir(), "address", "namespace")
	if err := paths.make(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, err := watchDirectories(ctx, paths)
	if err != nil {
		t.Fatal(err)
	}
	id := backend.ID{Name: "tester", Suffix: "00000"}
	where := paths.bottle(id)
	for _, step := range []struct {
		do  func() error
		run bool
	}{
		{func() error { return os.Mkdir(where.run, 0o700) }, true},
		{func() error { return os.Mkdir(where.state, 0o700) }, false},
		{func() error {
			return errors.Join(os.WriteFile(where.plan(), nil, 0o600), os.Mkdir(filepath.Join(paths.bottles(), "no bottle"), 0o700), touch(where.state))
		}, false},
		{func() error { return os.Remove(where.run) }, true},
		{func() error { return os.RemoveAll(where.state) }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := <-changes; got != (directoryChange{id: id, run: step.run}) {
			t.Errorf("told was %+v, want that of %v", got, step)
		}
	}
	cancel()
	for range changes {
		t.Error("something else was told of")
	}
}

func TestChangesThatWereMissedAreKnown(t *testing.T) {
	told := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error, 1)}
	told.Errors <- fsnotify.ErrEventOverflow
	if got, ok := nextChange(t.Context(), told, layout{}); !ok || !got.missed {
		t.Errorf("told was %+v, %v", got, ok)
	}
	close(told.Events)
	if got, ok := nextChange(t.Context(), told, layout{}); ok {
		t.Errorf("of one that tells no more told was %+v", got)
	}
}
