package farend

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Arrival is one connection, or one datagram, that came to one of the listeners.
type Arrival struct {
	Network string
	// To is where it was going to; of a datagram it is the port alone.
	To   netip.AddrPort
	Data []byte
}

// Answer is what a listener says to all that it has heard by now, after turn
// answers; nil waits for more. The last one ends what goes back.
type Answer func(to netip.AddrPort, heard []byte, turn int) (answer []byte, last bool)

type canaries struct {
	answer Answer

	mu   sync.Mutex
	all  []*Arrival
	open int
}

// listen opens a listener on each port of every address, for TCP and UDP, until
// the test ends.
func (c *canaries) listen(t testing.TB, ports []uint16) error {
	for _, port := range ports {
		for _, family := range []string{"4", "6"} {
			// Beyond, an address is an interface's by its route only.
			anywhere := net.JoinHostPort(map[string]string{"4": "0.0.0.0", "6": "::"}[family], fmt.Sprint(port))
			tcp, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp"+family, anywhere)
			if err != nil {
				return err
			}
			udp, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp"+family, anywhere)
			if err != nil {
				_ = tcp.Close()
				return err
			}
			var group sync.WaitGroup
			group.Go(func() { c.accept(&group, tcp) })
			group.Go(func() { c.receive(udp.(*net.UDPConn)) })
			t.Cleanup(func() {
				_ = tcp.Close()
				_ = udp.Close()
				group.Wait()
			})
		}
	}
	return nil
}

func (c *canaries) arrive(network string, to netip.AddrPort) *Arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	arrival := &Arrival{Network: network, To: to}
	c.all = append(c.all, arrival)
	return arrival
}

func (c *canaries) receive(udp *net.UDPConn) {
	buffer := make([]byte, maxFrame)
	for {
		n, _, err := udp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		arrival := c.arrive("udp", udp.LocalAddr().(*net.UDPAddr).AddrPort())
		c.mu.Lock()
		arrival.Data = append(arrival.Data, buffer[:n]...)
		c.mu.Unlock()
	}
}

func (c *canaries) accept(group *sync.WaitGroup, tcp net.Listener) {
	for {
		conn, err := tcp.Accept()
		if err != nil {
			return
		}
		arrival := c.arrive("tcp", conn.LocalAddr().(*net.TCPAddr).AddrPort())
		c.begin(1)
		group.Go(func() {
			defer c.begin(-1)
			c.hear(conn, arrival)
		})
	}
}

func (c *canaries) begin(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += by
}

// hear writes down what comes until the other end is done, and answers once.
func (c *canaries) hear(conn net.Conn, arrival *Arrival) {
	defer func() { _ = conn.Close() }()
	// Whoever never ends is cut: what came by then is known.
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	buffer := make([]byte, 64<<10)
	for turn := 0; ; {
		n, err := conn.Read(buffer)
		c.mu.Lock()
		arrival.Data = append(arrival.Data, buffer[:n]...)
		heard := arrival.Data[:len(arrival.Data):len(arrival.Data)]
		c.mu.Unlock()
		if err != nil {
			return
		}
		answer, last := c.answer(arrival.To, heard, turn)
		if answer == nil {
			continue
		}
		turn++
		_, _ = conn.Write(answer)
		if half, ok := conn.(*net.TCPConn); ok && last {
			_ = half.CloseWrite()
		}
	}
}
