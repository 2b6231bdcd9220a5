package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// reverseZone is where the names of IPv4 addresses are.
const reverseZone = ".in-addr.arpa"

// aside answers the questions that tools ask beside those for hosts, and says
// whether it was one. They are no wish for a name that is not allowed, so the
// host's end is not told of them.
func (s *nameServer) aside(answer *dns.Msg, asked dns.Question) bool {
	name := canonical(asked.Name)
	if address, ok := reversed(name); ok && address.IsLoopback() {
		if known, ok := s.names.at(address); ok {
			answer.Rcode = dns.RcodeSuccess
			if asked.Qtype == dns.TypePTR {
				answer.Answer = append(answer.Answer, &dns.PTR{
					Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: answerTTL},
					Ptr: dns.Fqdn(known),
				})
			}
		}
		return true
	}
	// apt and others look for the servers of a service (SRV) before they take
	// the host as it is. There are none, and that is no refusal.
	host := name
	for strings.HasPrefix(host, "_") {
		_, host, _ = strings.Cut(host, ".")
	}
	return host != name && s.names.knows(host)
}

// reversed is the address whose name is asked for.
func reversed(name string) (netip.Addr, bool) {
	rest, ok := strings.CutSuffix(name, reverseZone)
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(rest, ".")
	slices.Reverse(parts)
	address, err := netip.ParseAddr(strings.Join(parts, "."))
	return address, err == nil && address.Is4()
}

// at is the host that an address stands for.
func (n *names) at(address netip.Addr) (string, bool) {
	if address == localhost {
		return "localhost", true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, known := range n.hosts {
		if known.address == address {
			return name, true
		}
	}
	return "", false
}

// knows says that a name is allowed, without giving it an address.
func (n *names) knows(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, below := n.suffix(name)
	return below || n.hosts[name] != nil
}
