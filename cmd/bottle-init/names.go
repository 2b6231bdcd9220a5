package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/neck"
)

// Loopback addresses stand for hosts: those that are allowed by name have one
// for the life of the bottle, names below an allowed suffix take turns.
const (
	exactPrefix    = "127.77.0.0/16"
	wildcardPrefix = "127.78.0.0/16"
	maxExact       = 4096
	maxWildcards   = 512
)

// names knows the allowed hosts, their addresses and their listeners.
type names struct {
	tunnels *tunnels

	mu       sync.Mutex
	hosts    map[string]*host
	suffixes []neck.Name
	order    []*host // wildcard hosts, the longest unused first
	exact    pool
	wildcard pool
}

// host is one allowed host with the address that stands for it.
type host struct {
	name      string
	address   netip.Addr
	wild      bool
	ports     []uint16
	listeners []net.Listener
}

func newNames(tunnels *tunnels) *names {
	return &names{
		tunnels: tunnels, hosts: map[string]*host{},
		exact: newPool(exactPrefix, maxExact), wildcard: newPool(wildcardPrefix, maxWildcards),
	}
}

// set takes the table of the host. Hosts that stay keep their addresses, for
// programs inside remember them.
func (n *names) set(table neck.Names) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wanted := map[string]neck.Name{}
	n.suffixes = nil
	for _, entry := range table.Entries {
		if entry.Suffix {
			n.suffixes = append(n.suffixes, entry)
			continue
		}
		wanted[canonical(entry.Host)] = entry
	}
	for name, known := range n.hosts {
		_, ok := wanted[name]
		if suffix, below := n.suffix(name); known.wild && below {
			ok = slices.Equal(known.ports, suffix.Ports)
		}
		if !ok {
			n.drop(known)
		}
	}
	for name, entry := range wanted {
		known := n.hosts[name]
		switch {
		case known == nil || known.wild:
			if known != nil {
				n.drop(known)
			}
			n.add(name, entry.Ports, false)
		case !slices.Equal(known.ports, entry.Ports):
			known.unlisten()
			n.listen(known, entry.Ports)
		}
	}
}

// lookup returns the address that stands for an allowed name.
func (n *names) lookup(name string) (netip.Addr, bool) {
	name = canonical(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.hosts[name]; known != nil {
		if known.wild {
			n.touch(known)
		}
		return known.address, true
	}
	if suffix, ok := n.suffix(name); ok {
		added := n.add(name, suffix.Ports, true)
		return added.address, added.address.IsValid()
	}
	return netip.Addr{}, false
}

// suffix finds the allowed suffix that a name is below.
func (n *names) suffix(name string) (neck.Name, bool) {
	if strings.Contains(name, "_") {
		return neck.Name{}, false // stands for no host, and the host would not dial it
	}
	for _, suffix := range n.suffixes {
		if suffix.Host == "" && public(name) || suffix.Host != "" && strings.HasSuffix(name, "."+canonical(suffix.Host)) {
			return suffix, true
		}
	}
	return neck.Name{}, false
}

// public says that a name can be one of the internet's. The host decides: this
// keeps what is asked for by itself, such as addresses turned round, from taking
// up addresses.
func public(name string) bool {
	at := strings.LastIndexByte(name, '.')
	return at > 0 && !slices.Contains([]string{"arpa", "bottle", "home", "internal", "lan", "local", "localhost"}, name[at+1:])
}

// add makes a host known and listens for it. n.mu is held.
func (n *names) add(name string, ports []uint16, wild bool) *host {
	added := &host{name: name, wild: wild}
	from := &n.exact
	if wild {
		from = &n.wildcard
		for len(n.order) >= maxWildcards && n.dropIdle() {
		}
		if len(n.order) >= maxWildcards {
			return added // every address is in use: the name is not found for now
		}
	}
	address, ok := from.take()
	if !ok {
		return added
	}
	added.address = address
	n.listen(added, ports)
	n.hosts[name] = added
	if wild {
		n.order = append(n.order, added)
	}
	return added
}

// listen waits for connections to the host on each of its ports.
func (n *names) listen(known *host, ports []uint16) {
	known.ports = ports
	for _, port := range ports {
		listener, err := net.Listen("tcp4", netip.AddrPortFrom(known.address, port).String())
		if err != nil {
			fmt.Fprintln(os.Stderr, "bottle-init: listen for", known.name, err)
			continue
		}
		known.listeners = append(known.listeners, listener)
		n.tunnels.accept(listener, known.name, port)
	}
}

func (h *host) unlisten() {
	for _, listener := range h.listeners {
		_ = listener.Close()
	}
	h.listeners = nil
}

// drop forgets a host. Connections that are open go on. n.mu is held.
func (n *names) drop(known *host) {
	known.unlisten()
	delete(n.hosts, known.name)
	if !known.wild {
		n.exact.put(known.address)
		return
	}
	for i, other := range n.order {
		if other == known {
			n.order = append(n.order[:i], n.order[i+1:]...)
			break
		}
	}
	n.wildcard.put(known.address)
}

// dropIdle drops the wildcard host that was asked for the longest ago and has no
// connection: an address never changes its name under a connection.
func (n *names) dropIdle() bool {
	for _, known := range n.order {
		if !n.tunnels.busy(known.name) {
			n.drop(known)
			return true
		}
	}
	return false
}

func (n *names) touch(known *host) {
	for i, other := range n.order {
		if other == known {
			n.order = append(append(n.order[:i], n.order[i+1:]...), known)
			return
		}
	}
}

func (n *names) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, known := range n.hosts {
		n.drop(known)
	}
	n.tunnels.wait()
}

// canonical is the form that names are compared in.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// pool hands out the addresses of a prefix; those given back go to its end, so
// that an address rests before it stands for somebody else.
type pool struct{ free []netip.Addr }

func newPool(prefix string, size int) pool {
	var p pool
	address := netip.MustParsePrefix(prefix).Addr()
	for len(p.free) < size {
		address = address.Next()
		p.free = append(p.free, address)
	}
	return p
}

func (p *pool) take() (netip.Addr, bool) {
	if len(p.free) == 0 {
		return netip.Addr{}, false
	}
	address := p.free[0]
	p.free = p.free[1:]
	return address, true
}

func (p *pool) put(address netip.Addr) {
	if address.IsValid() {
		p.free = append(p.free, address)
	}
}
