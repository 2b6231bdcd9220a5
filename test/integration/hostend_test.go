package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// greeter greets each connection with a byte, and knows how many there were and
// how many are open.
type greeter struct {
	net.Listener
	accepted, open atomic.Int32
}

func newGreeter(t *testing.T, address string) *greeter {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g := &greeter{Listener: listener}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			g.accepted.Add(1)
			g.open.Add(1)
			group.Go(func() {
				_, _ = conn.Write([]byte("!"))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				g.open.Add(-1)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); group.Wait() })
	return g
}

// program puts the attack into the working directory.
func program(t *testing.T, u *bottletest.User) {
	t.Helper()
	data, err := os.ReadFile(attack)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/attack", string(data))
	if err := os.Chmod(filepath.Join(u.Cwd, "attack"), 0o755); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
}

// starting is a start that goes on.
type starting struct {
	said bytes.Buffer
	done chan error
}

func start(t *testing.T, u *bottletest.User, runtime, name string) *starting {
	t.Helper()
	command := u.Command("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime, "--name", name)
	s := &starting{done: make(chan error, 1)}
	command.Stdout, command.Stderr = &s.said, &s.said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Signal(syscall.SIGTERM) })
	return s
}

// workspaces are the paths that a file of the workspace of a bottle has.
func workspaces(t *testing.T, u *bottletest.User, name, file string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", name+"-*", "workspace", file))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestT41_WithoutTheHostsEndNothingIsDialled(t *testing.T) {
	const count = 20
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		host, address := bottletest.OwnName(t)
		far := newGreeter(t, address+":0")
		_, port, _ := net.SplitHostPort(far.Addr().String())
		program(t, u)
		does(u, fmt.Sprintf("./attack hold %s:%s %d", host, port, count),
			fmt.Sprintf("egress: {allow: [\"%s:%s\"], private: [{host: %s, range: %s/32}]}", host, port, host, address))
		s := start(t, u, runtime, "held")
		bottletest.Eventually(t, "the connections are open", func() bool { return len(workspaces(t, u, "held", "held")) == 1 })
		if far.accepted.Load() != count {
			t.Fatalf("the far end sees %d connections", far.accepted.Load())
		}
		for _, pid := range u.Supervisors() {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		bottletest.Eventually(t, "the far end sees them end", func() bool { return far.open.Load() == 0 })
		if err := <-s.done; err == nil {
			t.Error("start ends well")
		}
		u.Run("cleanup", "--yes").Want(t, 0)
		if far.accepted.Load() != count {
			t.Errorf("%d connections came after the host's end was gone", far.accepted.Load()-count)
		}
	})
}

func TestT42_NobodyDialsABottle(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		port := freePort(t, "0.0.0.0")
		program(t, u)
		does(u, "./attack listen "+port)
		s := start(t, u, runtime, "server")
		bottletest.Eventually(t, "the bottle serves itself", func() bool { return len(workspaces(t, u, "server", "listening")) == 1 })

		own, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		targets := []string{"unix=@attack-" + port}
		for _, ip := range []string{"127.77.0.1", "127.77.0.2", "127.78.0.1", "0.0.0.0"} {
			targets = append(targets, "tcp="+net.JoinHostPort(ip, port))
		}
		for _, entry := range own {
			ip := entry.(*net.IPNet).IP
			if !ip.IsLinkLocalUnicast() {
				targets = append(targets, "tcp="+net.JoinHostPort(ip.String(), port))
			}
		}
		for _, target := range targets {
			network, address, _ := strings.Cut(target, "=")
			if conn, err := net.Dial(network, address); err == nil {
				_ = conn.Close()
				t.Errorf("the host gets through to %s", target)
			}
		}
		said, _ := attacks(t, u, runtime, "dials "+strings.Join(targets, " "))
		for _, target := range targets {
			if how := said["dial "+target]; how == "done" || how == "" {
				t.Errorf("another bottle: %s: %q", target, how)
			}
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(workspaces(t, u, "server", "listening")[0]), "over"), nil, 0o644); err != nil { //nolint:gosec // the bottle reads it
			t.Fatal(err)
		}
		if err := <-s.done; err != nil {
			t.Errorf("start ends with %v: %s", err, s.said.String())
		}
		bottletest.Contains(t, s.said.String(), "listen tcp4: done", "own: done")
	})
}
