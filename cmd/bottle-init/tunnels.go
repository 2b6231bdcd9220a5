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

// tunnels carries connections of programs inside through the neck.
type tunnels struct {
	open  opener
	group sync.WaitGroup
	slots chan struct{}

	mu     sync.Mutex
	counts map[string]int // connections by host
}

func newTunnels(open opener) *tunnels {
	return &tunnels{open: open, slots: make(chan struct{}, maxTunnels), counts: map[string]int{}}
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
	stream, err := t.open(neck.Request{Kind: neck.KindDial, Host: host, Port: port})
	if err != nil {
		reset(conn) // as a firewall that rejects
		return
	}
	neck.Splice(conn.(*net.TCPConn), stream)
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
