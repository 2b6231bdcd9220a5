package egress

import (
	"net"
	"sync"
)

// connections is a net.Listener of connections that come from elsewhere.
type connections struct {
	arrived chan net.Conn
	stopped chan struct{}
	once    sync.Once
}

func newConnections() *connections {
	return &connections{arrived: make(chan net.Conn), stopped: make(chan struct{})}
}

// add hands a connection over; after stop it is closed.
func (c *connections) add(conn net.Conn) {
	select {
	case c.arrived <- conn:
	case <-c.stopped:
		_ = conn.Close()
	}
}

func (c *connections) stop() { c.once.Do(func() { close(c.stopped) }) }

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	select {
	case conn := <-c.arrived:
		return conn, nil
	case <-c.stopped:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (c *connections) Close() error {
	c.stop()
	return nil
}

// Addr implements net.Listener.
func (c *connections) Addr() net.Addr { return &net.UnixAddr{Name: GatewayHost, Net: "unix"} }
