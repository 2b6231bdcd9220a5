package farend

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The addresses of the two ends of the wire. They are public ones, so that
// nothing but the rule about a host's own addresses closes the near ones.
var (
	near4, near6 = netip.MustParseAddr("52.95.7.2"), netip.MustParseAddr("2600:1f00:7::2")
	far4, far6   = netip.MustParseAddr("52.95.7.1"), netip.MustParseAddr("2600:1f00:7::1")
)

const wireName = "wire"

// World is a host of the test's own, and everything beyond it.
type World struct {
	// Host is where the program under test runs; Beyond has every other
	// address there is.
	Host, Beyond *Namespace
	// Own are the addresses of Host, but for loopback.
	Own []netip.Addr

	wire, loopback *recorder
	before         counters
	canaries       canaries
	names          *names
}

// New makes a world that lasts until the test ends. At both ends there are
// listeners on each of the ports, and a name server.
func New(t testing.TB, ports []uint16, answer Answer, records Records) *World {
	t.Helper()
	w := &World{canaries: canaries{answer: answer}, Host: newNamespace(t), Beyond: newNamespace(t), Own: []netip.Addr{near4, near6}}
	err := errors.Join(w.lay(), w.Host.Do(func() error { return configure(wireName, near4, near6, far4, far6) }),
		w.Beyond.Do(func() error { return errors.Join(configure(wireName, far4, far6, near4, near6), haveEveryAddress()) }))
	if err != nil {
		t.Fatalf("make a world: %v", err)
	}
	w.names = &names{records: records, asked: map[string]int{}}
	for _, end := range []*Namespace{w.Host, w.Beyond} {
		if err := end.Do(func() error { return errors.Join(w.canaries.listen(t, ports), w.names.serve(t)) }); err != nil {
			t.Fatalf("listen: %v", err)
		}
	}
	w.wire, w.loopback = record(t, w.Beyond, wireName), record(t, w.Host, "lo")
	if w.before, err = w.count(); err != nil {
		t.Fatal(err)
	}
	return w
}

// lay puts a wire between the ends.
func (w *World) lay() error {
	return w.Host.Do(func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = wireName
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: wireName, PeerNamespace: netlink.NsFd(w.Beyond.file.Fd())})
	})
}

// configure brings up one end: its own addresses, and a way to the other end
// that needs no question of who has which address.
func configure(name string, own4, own6, peer4, peer6 netip.Addr) error {
	for _, up := range []string{"lo", name} {
		link, err := netlink.LinkByName(up)
		if err != nil {
			return fmt.Errorf("find %s: %w", up, err)
		}
		// Each end has a hardware address that the other one knows.
		if up == name {
			if err := netlink.LinkSetHardwareAddr(link, hardware(own4)); err != nil {
				return fmt.Errorf("name %s: %w", up, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring up %s: %w", up, err)
		}
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	index := link.Attrs().Index
	for _, pair := range [][2]netip.Addr{{own4, peer4}, {own6, peer6}} {
		own, peer := wholeNet(pair[0]), wholeNet(pair[1])
		everywhere := &net.IPNet{IP: make(net.IP, len(own.IP)), Mask: net.CIDRMask(0, 8*len(own.IP))}
		err := errors.Join(
			netlink.AddrAdd(link, &netlink.Addr{IPNet: own, Flags: unix.IFA_F_NODAD}),
			netlink.NeighSet(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: peer.IP, HardwareAddr: hardware(peer4)}),
			netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: peer, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_UNICAST, Scope: netlink.SCOPE_LINK}),
			netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: everywhere, Gw: peer.IP, Flags: int(netlink.FLAG_ONLINK)}),
		)
		if err != nil {
			return fmt.Errorf("set up %s: %w", own, err)
		}
	}
	return nil
}

func wholeNet(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
}

func hardware(address netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{2, 0}, address.AsSlice()...)
}

// haveEveryAddress makes all addresses local ones but the other end's, to which
// a route of its own leads.
func haveEveryAddress() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, block, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: block, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("have every address of %s: %w", all, err)
		}
	}
	return nil
}

// counters are the kernel's own.
type counters struct{ packets, opened uint64 }

// count reads how many packets came over the wire, and how many connections the
// host has begun.
func (w *World) count() (c counters, err error) {
	err = w.Beyond.Do(func() error {
		link, err := netlink.LinkByName(wireName)
		if err == nil {
			c.packets = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	if err != nil {
		return c, fmt.Errorf("count packets: %w", err)
	}
	err = w.Host.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var heads []string
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if fields[0] != "Tcp:" {
				continue
			}
			if heads == nil {
				heads = fields
				continue
			}
			for i, head := range heads {
				if head == "ActiveOpens" {
					_, err := fmt.Sscan(fields[i], &c.opened)
					return err
				}
			}
		}
		return errors.New("no count of connections")
	})
	if err != nil {
		return c, fmt.Errorf("count connections: %w", err)
	}
	return c, nil
}
