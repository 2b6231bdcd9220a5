// Package relaytest stands between clients and a gRPC daemon on Unix sockets: it counts
// calls, and strikes at one of them, before the daemon hears of it or after the daemon has
// done it and before the client hears that. No hook in either is needed. No program
// imports it.
package relaytest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Call is one call of a client.
type Call struct {
	// Number counts from 1 since the relay was armed.
	Number int
	Method string
	// PID is the process that made it.
	PID int
}

// Point is where to strike.
type Point struct {
	// Number is the call, 0 for none; After says that the daemon has done it by then.
	Number int
	After  bool
	// Strike is called while both ends wait. The connection of the call is cut when it
	// returns.
	Strike func(Call)
}

// Relay is one socket. Its methods may be called from several goroutines.
type Relay struct {
	// Address is the path of the socket for clients.
	Address string

	to       string
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	ends  map[net.Conn]bool
	point *Point // nil when calls are not counted
	calls []Call
	// strikes are those that are under way.
	strikes sync.WaitGroup
}

// New relays to the socket at that path until the end of the test.
func New(t testing.TB, to string) *Relay {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "relay") //nolint:usetesting // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Address: filepath.Join(dir, "relay.sock"), to: to, ends: map[net.Conn]bool{}}
	if r.listener, err = net.Listen("unix", r.Address); err == nil {
		err = os.Chmod(r.Address, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.group.Go(r.accept)
	t.Cleanup(func() {
		_ = r.listener.Close()
		r.Cut()
		r.group.Wait()
		_ = os.RemoveAll(dir)
	})
	return r
}

// Arm counts calls from now on, and strikes at that point, once.
func (r *Relay) Arm(point Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.point, r.calls = &point, nil
}

// Disarm ends that, waits for a strike that is under way, and returns the calls that there
// were.
func (r *Relay) Disarm() []Call {
	r.mu.Lock()
	r.point = nil
	calls := r.calls
	r.mu.Unlock()
	r.strikes.Wait()
	return calls
}

// Cut cuts all connections. Clients may come again.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for end := range r.ends {
		_ = end.Close()
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.group.Go(func() { r.carry(client) })
	}
}

// carry carries one connection to its end.
func (r *Relay) carry(client net.Conn) {
	daemon, err := net.Dial("unix", r.to)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{relay: r, client: client, daemon: daemon, pid: processOf(client), begun: map[uint32]Call{}}
	r.mu.Lock()
	r.ends[client], r.ends[daemon] = true, true
	r.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range []func() error{l.requests, l.answers} {
		both.Go(func() {
			_ = way() // which has ended, and so does the other
			_ = errors.Join(client.Close(), daemon.Close())
		})
	}
	both.Wait()
	r.mu.Lock()
	delete(r.ends, client)
	delete(r.ends, daemon)
	r.mu.Unlock()
}

// begins counts a call, and returns the point when it is the one to strike at before.
func (r *Relay) begins(call *Call) *Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.point == nil {
		return nil
	}
	call.Number = len(r.calls) + 1
	r.calls = append(r.calls, *call)
	return r.taken(call.Number, false)
}

// ended returns the point when the call is the one to strike at after.
func (r *Relay) ended(call Call) *Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken(call.Number, true)
}

// taken takes the point away, so that nobody else strikes. The caller holds the lock.
func (r *Relay) taken(number int, after bool) *Point {
	if r.point == nil || number == 0 || r.point.Number != number || r.point.After != after {
		return nil
	}
	point := *r.point
	r.point.Number = 0
	r.strikes.Add(1)
	return &point
}

// processOf is the process at the other end, as the kernel says.
func processOf(conn net.Conn) int {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if credentials, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(credentials.Pid)
		}
	})
	return pid
}

// String implements fmt.Stringer.
func (c Call) String() string { return fmt.Sprintf("call %d, %s", c.Number, c.Method) }
