package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	// headStart is how long an address is waited for before the next is tried
	// beside it, as RFC 8305 has it.
	headStart = 250 * time.Millisecond
	// maxAddresses bounds the addresses of a name that are tried.
	maxAddresses = 16
)

// attempt is how the connection to one address went.
type attempt struct {
	conn net.Conn
	err  error
}

// race connects to the first of the addresses that answers, in their order. One
// that swallows packets, as IPv6 in a network that has but half of it, must not
// keep the tool inside waiting. The addresses were checked.
func (d *Dialer) race(ctx context.Context, name string, addresses []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addresses = addresses[:min(len(addresses), maxAddresses)]
	ended := make(chan attempt)
	running := 0
	start := func() {
		address := addresses[0]
		addresses = addresses[1:]
		running++
		go func() {
			conn, err := d.connect(ctx, address)
			ended <- attempt{conn, err}
		}()
	}
	var failed error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(addresses) > 0 || running > 0 {
		select {
		case <-timer.C:
			if len(addresses) > 0 {
				start()
				timer.Reset(headStart)
			}
		case one := <-ended:
			running--
			if one.err == nil {
				cancel()
				closeLate(ended, running)
				return one.conn, nil
			}
			failed = errors.Join(failed, unconnected(name, one.err))
			timer.Reset(0)
		}
	}
	return nil, failed
}

// closeLate waits for the attempts that have lost, which their context ends.
func closeLate(ended <-chan attempt, running int) {
	for range running {
		if one := <-ended; one.err == nil {
			_ = one.conn.Close()
		}
	}
}
