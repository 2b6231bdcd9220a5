package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
)

// dialTimeout bounds resolution and connection together.
const dialTimeout = 30 * time.Second

// Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Decider says what may be reached. *Policy and *Live are two.
type Decider interface {
	Decide(host string, port uint16) (Verdict, error)
}

// Dialer connects to what the policy allows.
type Dialer struct {
	Policy   Decider
	Resolver Resolver
	// Connect opens a connection to the checked address; nil takes net.Dialer.
	Connect func(ctx context.Context, address netip.AddrPort) (net.Conn, error)
	// Proxy is the network's own, which connections go through; nil is none.
	Proxy *Proxy
	// Own lists this host's addresses; nil asks the interfaces.
	Own func() ([]netip.Addr, error)
}

// Dial connects to an allowed host, by an address that was checked after the
// name was resolved. Behind a proxy the name is checked here and the address
// there. It refuses with PermissionDenied, and fails with Unavailable.
func (d *Dialer) Dial(ctx context.Context, host string, port uint16) (net.Conn, error) {
	verdict, err := d.Policy.Decide(host, port)
	if err != nil {
		return nil, err
	}
	return d.dial(ctx, verdict, port)
}

// dial connects to what the policy has allowed.
func (d *Dialer) dial(ctx context.Context, verdict Verdict, port uint16) (net.Conn, error) {
	name := verdict.Name
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if through := d.Proxy.forHost(name, port); through != nil {
		conn, err := d.Proxy.connect(ctx, through, net.JoinHostPort(name, strconv.Itoa(int(port))))
		if err != nil {
			return nil, unproxied(name, err)
		}
		return conn, nil
	}
	addresses, err := d.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, unresolved(name, err)
	}
	own, err := d.own()
	if err != nil {
		return nil, err
	}
	var failed error
	var checked []netip.AddrPort
	for _, address := range addresses {
		address = address.Unmap().WithZone("")
		if reason := refused(address, own); reason != "" && !named(address, verdict.Ranges) {
			failed = errors.Join(failed, &privateError{name: name, address: address, reason: reason})
			continue
		}
		checked = append(checked, netip.AddrPortFrom(address, port))
	}
	conn, err := d.race(ctx, name, checked)
	if conn != nil {
		return conn, nil
	}
	failed = errors.Join(failed, err)
	if failed == nil {
		failed = fmt.Errorf("%s has no address: %w", name, errdefs.ErrUnavailable)
	}
	return nil, failed
}

func (d *Dialer) connect(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	if d.Connect != nil {
		return d.Connect(ctx, address)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.Addr().String(), strconv.Itoa(int(address.Port()))))
}

func (d *Dialer) own() ([]netip.Addr, error) {
	if d.Own != nil {
		return d.Own()
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	var list []netip.Addr
	for _, entry := range interfaces {
		if network, ok := entry.(*net.IPNet); ok {
			if address, ok := netip.AddrFromSlice(network.IP); ok {
				list = append(list, address.Unmap())
			}
		}
	}
	return list, nil
}

// special are the blocks that netip has no question for, by the IANA registries
// of special-purpose addresses.
func special() map[string]string {
	return map[string]string{
		"0.0.0.0/8":      "this network",
		"100.64.0.0/10":  "a carrier's private range",
		"192.0.0.0/24":   "reserved",
		"192.0.2.0/24":   "documentation",
		"192.88.99.0/24": "reserved",

		"168.63.129.16/32": "a cloud's metadata address",

		"198.18.0.0/15":   "benchmarking",
		"198.51.100.0/24": "documentation",
		"203.0.113.0/24":  "documentation",
		"240.0.0.0/4":     "reserved",
		"2001::/23":       "reserved",
		"2001:db8::/32":   "documentation",
		"2002::/16":       "a tunnel to IPv4",
		"3fff::/20":       "documentation",
	}
}

var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// refused says why an address must not be dialled for a bottle, or "".
func refused(address netip.Addr, own []netip.Addr) string {
	for _, ours := range own {
		if ours == address {
			return "an address of this host"
		}
	}
	switch {
	case address.IsLoopback(), address.IsUnspecified():
		return "this host itself"
	case address.IsPrivate():
		return "a private address"
	case address.IsLinkLocalUnicast():
		return "a link-local address"
	case address.IsMulticast():
		return "a multicast address"
	case address.Is6() && !globalUnicast6.Contains(address):
		return "no public address"
	}
	for block, name := range special() {
		if netip.MustParsePrefix(block).Contains(address) {
			return name
		}
	}
	return ""
}
