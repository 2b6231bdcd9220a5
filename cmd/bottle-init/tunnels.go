package main

import (
	"net"
	"sync"

	"github.com/claude-bottle/claude-bottle/neck"
)

// maxTunnels bounds the connections through the neck at a time. It is less than
// the host takes, so that a refusal here is one that programs understand.
const maxTunnels = 224

// opener opens a stream to the host, for as long as the bottle runs.
type opener func(request neck.Request) (neck.Stream, error)

// beginner asks for a connection and does not wait for the answer.
type beginner func(request neck.Request) (stream neck.Stream, answer func() error, err error)

// tunnels carries connections of programs inside through the neck.
type tunnels struct {
	begin beginner
	group sync.WaitGroup
	slots chan struct{}

	mu     sync.Mutex
	counts map[string]int // connections by host
}

func newTunnels(begin beginner) *tunnels {
	return &tunnels{begin: begin, slots: make(chan struct{}, maxTunnels), counts: map[string]int{}}
}

// accept serves a listener that stands for host and port until it is closed.
func (t *tunnels) accept(listener net.Listener, host string, port uint16) {
	t.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case t.slots <- struct{}{}:
			default:
				reset(conn)
				continue
			}
			t.group.Go(func() {
				defer func() { <-t.slots }()
				t.carry(conn, host, port)
			})
		}
	})
}

func (t *tunnels) carry(conn net.Conn, host string, port uint16) {
	t.count(host, 1)
	defer t.count(host, -1)
	stream, answer, err := t.begin(neck.Request{Kind: neck.KindDial, Host: host, Port: port})
	if err != nil {
		refuse(conn, port, err)
		return
	}
	// What the client has to say is on its way while the host still dials.
	var group sync.WaitGroup
	group.Go(func() { neck.Carry(stream, conn) })
	if err := answer(); err != nil {
		_ = stream.Close()
		refuse(conn, port, err)
	} else {
		neck.Carry(conn, stream)
	}
	group.Wait()
	_ = conn.Close()
	_ = stream.Close()
}

func (t *tunnels) count(host string, by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[host] += by
	if t.counts[host] == 0 {
		delete(t.counts, host)
	}
}

func (t *tunnels) busy(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[host] > 0
}

func (t *tunnels) wait() { t.group.Wait() }

// reset ends a connection so that its client sees a refusal, not an end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
