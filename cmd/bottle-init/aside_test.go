package main

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/miekg/dns"
)

// asideServer answers for example.com and *.wild.example.
func asideServer(t *testing.T) (server *nameServer, address string, host *asked) {
	t.Helper()
	n, host := newTestNames(t, neck.Name{Host: "example.com"}, neck.Name{Host: "wild.example", Suffix: true})
	server, err := newNameServer("127.0.0.1:0", n, host.open, new(underway))
	for errors.Is(err, syscall.EADDRINUSE) { // free for UDP, but not for TCP
		server, err = newNameServer("127.0.0.1:0", n, host.open, new(underway))
	}
	if err != nil {
		t.Fatal(err)
	}
	return server, server.servers[0].PacketConn.LocalAddr().String(), host
}

func TestQuestionsBesideAHostAreNoDenials(t *testing.T) {
	server, address, host := asideServer(t)
	known, _ := server.names.lookup("example.com")
	reverse := func(address netip.Addr) string {
		name, err := dns.ReverseAddr(address.String())
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, test := range []struct {
		name   string
		kind   uint16
		code   int
		answer string // the name of a PTR
	}{
		{"_http._tcp.example.com.", dns.TypeSRV, dns.RcodeNameError, ""},
		{"_HTTP._tcp.EXAMPLE.com.", dns.TypeSRV, dns.RcodeNameError, ""},
		{"_https._tcp.a.wild.example.", dns.TypeSRV, dns.RcodeNameError, ""},
		{"_x.a.wild.example.", dns.TypeA, dns.RcodeNameError, ""},
		{reverse(known), dns.TypePTR, dns.RcodeSuccess, "example.com."},
		{reverse(known), dns.TypeTXT, dns.RcodeSuccess, ""},
		{reverse(localhost), dns.TypePTR, dns.RcodeSuccess, "localhost."},
		{reverse(netip.MustParseAddr("127.1.2.3")), dns.TypePTR, dns.RcodeNameError, ""},
		// What somebody wants, and does not get.
		{"_http._tcp.evil.org.", dns.TypeSRV, dns.RcodeNameError, ""},
		{"a_b.wild.example.", dns.TypeA, dns.RcodeNameError, ""},
		{"_.", dns.TypeSRV, dns.RcodeNameError, ""},
		{reverse(netip.MustParseAddr("10.0.0.1")), dns.TypePTR, dns.RcodeNameError, ""},
		{"1.2.127.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
	} {
		answer := exchange(t, "udp", address, new(dns.Msg).SetQuestion(test.name, test.kind))
		got := ""
		for _, record := range answer.Answer {
			got += record.(*dns.PTR).Ptr
		}
		if answer.Rcode != test.code || got != test.answer {
			t.Errorf("%s %s: %v", test.name, dns.TypeToString[test.kind], answer)
		}
	}
	if len(server.names.order) > 0 {
		t.Errorf("names of no host have addresses: %v", server.names.order[0].name)
	}
	server.close(t.Context())
	told := map[string]bool{}
	for _, request := range host.all() {
		told[request.Host] = true
	}
	for _, name := range []string{"_http._tcp.evil.org", "a_b.wild.example", "_", "1.0.0.10.in-addr.arpa", "1.2.127.in-addr.arpa"} {
		if !told[name] {
			t.Errorf("the host is not told of %s", name)
		}
		delete(told, name)
	}
	if len(told) > 0 {
		t.Errorf("the host is told of %v", told)
	}
}

func TestExtendedQuestionsAreAnsweredAsSuch(t *testing.T) {
	server, address, _ := asideServer(t)
	defer server.close(t.Context())
	question := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	if answer := exchange(t, "udp", address, question); answer.IsEdns0() != nil {
		t.Errorf("a plain question is answered %v", answer)
	}
	question.SetEdns0(4096, true)
	if answer := exchange(t, "udp", address, question); answer.IsEdns0() == nil || len(answer.Answer) != 1 {
		t.Errorf("it is answered %v", answer)
	}
	question.IsEdns0().SetVersion(1)
	if answer := exchange(t, "tcp", address, question); answer.Rcode != dns.RcodeBadVers || len(answer.Answer) != 0 {
		t.Errorf("version 1 is answered %v", answer)
	}
}
