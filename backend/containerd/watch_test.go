package containerd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"go.uber.org/goleak"
)

// TestF3_ABottleIsToldOfWhenItsSupervisorGoes, as long as there is anything of it to
// hold, and what is kept of it is told last.
func TestF3_ABottleIsToldOfWhenItsSupervisorGoes(t *testing.T) {
	defer goleak.VerifyNone(t)
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
	w.rescan(t.Context())
	w.rescan(t.Context()) // it is attended once
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
