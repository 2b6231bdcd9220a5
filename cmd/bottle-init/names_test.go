package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked records what PID 1 asks of the host, and refuses it.
type asked struct {
	mu       sync.Mutex
	requests []neck.Request
}

func (a *asked) open(request neck.Request) (neck.Stream, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, request)
	return neck.Stream{}, errors.New("refused")
}

func (a *asked) begin(request neck.Request) (neck.Stream, func() error, error) {
	stream, err := a.open(request)
	return stream, nil, err
}

func (a *asked) all() []neck.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]neck.Request(nil), a.requests...)
}

func table(entries ...neck.Name) neck.Names { return neck.Names{Entries: entries} }

func newTestNames(t *testing.T, entries ...neck.Name) (*names, *asked) {
	host := &asked{}
	n := newNames(newTunnels(host.begin))
	t.Cleanup(n.close)
	n.set(table(entries...))
	return n, host
}

// port is a free one on every loopback address.
func port(t *testing.T) uint16 {
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

func TestAllowedNamesHaveLoopbackAddressesThatStay(t *testing.T) {
	p := port(t)
	exact := neck.Name{Host: "example.com", Ports: []uint16{p}}
	other := neck.Name{Host: "other.example", Ports: []uint16{p}}
	wild := neck.Name{Host: "wild.example", Suffix: true, Ports: []uint16{p}}
	n, _ := newTestNames(t, exact, other, wild)
	first, ok := n.lookup("Example.COM.")
	if !ok || !netip.MustParsePrefix(exactPrefix).Contains(first) {
		t.Fatalf("example.com is %v, %v", first, ok)
	}
	second, _ := n.lookup("other.example")
	below, ok := n.lookup("a.wild.example")
	if !ok || second == first || !netip.MustParsePrefix(wildcardPrefix).Contains(below) {
		t.Errorf("other.example is %v, a.wild.example is %v", second, below)
	}
	for _, denied := range []string{"evil.org", "wild.example", "xwild.example", "com", "", ".", "a.example.com"} {
		if address, ok := n.lookup(denied); ok {
			t.Errorf("%q is %v", denied, address)
		}
	}
	n.set(table(wild, exact)) // as after a redial, without other.example
	if again, _ := n.lookup("example.com"); again != first {
		t.Errorf("example.com moved from %v to %v", first, again)
	}
	if again, _ := n.lookup("a.wild.example"); again != below {
		t.Errorf("a.wild.example moved from %v to %v", below, again)
	}
	if address, ok := n.lookup("other.example"); ok {
		t.Errorf("other.example is still %v", address)
	}
	n.set(table(exact))
	if address, ok := n.lookup("a.wild.example"); ok {
		t.Errorf("a.wild.example is still %v", address)
	}
}

func TestAConnectionAsksTheHostForNameAndPort(t *testing.T) {
	p := port(t)
	n, host := newTestNames(t, neck.Name{Host: "example.com", Ports: []uint16{p}})
	address, _ := n.lookup("example.com")
	conn, err := net.Dial("tcp4", netip.AddrPortFrom(address, p).String())
	switch {
	case errors.Is(err, syscall.ECONNRESET): // the refusal was faster than the dialer's last look
	case err != nil:
		t.Fatal(err)
	default:
		if _, err := io.ReadAll(conn); err == nil {
			t.Error("a refused connection ends as if all had been said")
		}
		_ = conn.Close()
	}
	if got := host.all(); len(got) != 1 || got[0].Kind != neck.KindDial || got[0].Host != "example.com" || got[0].Port != p {
		t.Errorf("asked %+v", got)
	}
	if conn, err := net.Dial("tcp4", netip.AddrPortFrom(address, port(t)).String()); err == nil {
		_ = conn.Close()
		t.Error("a port that is not allowed listens")
	}
}

func TestT53_NamesBelowASuffixAreBounded(t *testing.T) {
	n, _ := newTestNames(t, neck.Name{Host: "wild.example", Suffix: true})
	first, _ := n.lookup("0.wild.example")
	busy, _ := n.lookup("busy.wild.example")
	n.tunnels.count("busy.wild.example", 1)
	for i := range 10 * maxWildcards {
		if _, ok := n.lookup(fmt.Sprintf("%d.wild.example", i)); !ok {
			t.Fatalf("name %d has no address", i)
		}
	}
	if len(n.hosts) > maxWildcards || len(n.order) > maxWildcards {
		t.Errorf("%d names are held", len(n.hosts))
	}
	if again, _ := n.lookup("busy.wild.example"); again != busy {
		t.Errorf("a name in use moved from %v to %v", busy, again)
	}
	if _, ok := n.hosts["0.wild.example"]; ok {
		t.Errorf("the longest unused name still has %v", first)
	}
}

func TestWithAllAddressesInUseANewNameIsNotFound(t *testing.T) {
	n, _ := newTestNames(t, neck.Name{Host: "wild.example", Suffix: true})
	for i := range maxWildcards {
		name := fmt.Sprintf("%d.wild.example", i)
		_, _ = n.lookup(name)
		n.tunnels.count(name, 1)
	}
	if address, ok := n.lookup("one-more.wild.example"); ok {
		t.Errorf("it is %v", address)
	}
}

func exchange(t *testing.T, network, server string, question *dns.Msg) *dns.Msg {
	t.Helper()
	answer, _, err := (&dns.Client{Net: network, Timeout: time.Minute}).Exchange(question, server)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestT36_DNSIsAnsweredFromThePolicyAlone(t *testing.T) {
	n, host := newTestNames(t, neck.Name{Host: "example.com"}, neck.Name{Host: "wild.example", Suffix: true})
	server, err := newNameServer("127.0.0.1:0", n, host.open, new(underway))
	for errors.Is(err, syscall.EADDRINUSE) { // free for UDP, but not for TCP
		server, err = newNameServer("127.0.0.1:0", n, host.open, new(underway))
	}
	if err != nil {
		t.Fatal(err)
	}
	address := server.servers[0].PacketConn.LocalAddr().String()
	ask := func(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(dns.Fqdn(name), kind) }
	for _, network := range []string{"udp", "tcp"} {
		for _, test := range []struct {
			name    string
			kind    uint16
			code    int
			answers int
		}{
			{"example.com", dns.TypeA, dns.RcodeSuccess, 1},
			{"EXAMPLE.com", dns.TypeA, dns.RcodeSuccess, 1},
			{"example.com", dns.TypeAAAA, dns.RcodeSuccess, 0}, // exists, without such an address
			{"example.com", dns.TypeHTTPS, dns.RcodeSuccess, 0},
			{"example.com", dns.TypeTXT, dns.RcodeSuccess, 0},
			{"a.wild.example", dns.TypeA, dns.RcodeSuccess, 1},
			{"localhost", dns.TypeA, dns.RcodeSuccess, 1},
			{"evil.org", dns.TypeA, dns.RcodeNameError, 0},
			{"secret.evil.org", dns.TypeTXT, dns.RcodeNameError, 0},
			{"4.3.2.1.in-addr.arpa", dns.TypePTR, dns.RcodeNameError, 0},
		} {
			answer := exchange(t, network, address, ask(test.name, test.kind))
			if answer.Rcode != test.code || len(answer.Answer) != test.answers {
				t.Errorf("%s %s %s: %v", network, test.name, dns.TypeToString[test.kind], answer)
			}
		}
	}
	odd := ask("example.com", dns.TypeA)
	odd.Question[0].Qclass = dns.ClassCHAOS
	if answer := exchange(t, "udp", address, odd); answer.Rcode != dns.RcodeRefused {
		t.Errorf("another class: %v", answer)
	}
	for i := range 1000 {
		exchange(t, "udp", address, ask(fmt.Sprintf("label-%d.evil.org", i), dns.TypeA))
	}
	exchange(t, "udp", address, ask("evil.org", dns.TypeA))
	told := map[string]int{}
	server.close(t.Context())
	for _, request := range host.all() {
		if request.Kind != neck.KindName {
			t.Errorf("the host was asked for %+v", request)
		}
		told[request.Host]++
	}
	if told["secret.evil.org"] != 1 {
		t.Errorf("a denied name was told %d times", told["secret.evil.org"])
	}
}

func TestAnOpenBottleHasAnAddressForEveryPublicName(t *testing.T) {
	p := port(t)
	n, host := newTestNames(t, neck.Name{Host: "example.com", Ports: []uint16{p}}, neck.Name{Suffix: true, Ports: []uint16{p}})
	first, _ := n.lookup("example.com")
	if !netip.MustParsePrefix(exactPrefix).Contains(first) {
		t.Errorf("a name of the list is %v", first)
	}
	address, ok := n.lookup("Any.Name.example.")
	if !ok || !netip.MustParsePrefix(wildcardPrefix).Contains(address) {
		t.Fatalf("any.name.example is %v, %v", address, ok)
	}
	for _, denied := range []string{"", ".", "com", "vm", "localhost", "x.localhost", "x.bottle", "1.0.0.127.in-addr.arpa", "printer.local", ".com"} {
		if address, ok := n.lookup(denied); ok {
			t.Errorf("%q is %v", denied, address)
		}
	}
	conn, err := net.Dial("tcp4", netip.AddrPortFrom(address, p).String())
	if err == nil {
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if got := host.all(); len(got) != 1 || got[0].Host != "any.name.example" {
		t.Errorf("asked %+v", got)
	}
	n.set(table()) // closed again
	if address, ok := n.lookup("any.name.example"); ok {
		t.Errorf("any.name.example is still %v", address)
	}
}
