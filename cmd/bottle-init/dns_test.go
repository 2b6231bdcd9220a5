package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/miekg/dns"
)

// replies keeps the one answer to a question.
type replies struct {
	dns.ResponseWriter
	answer *dns.Msg
}

func (r *replies) WriteMsg(answer *dns.Msg) error {
	r.answer = answer
	return nil
}

func (*replies) LocalAddr() net.Addr  { return &net.UDPAddr{} }
func (*replies) RemoteAddr() net.Addr { return &net.UDPAddr{} }

// FuzzQuestion asks the name server what it is asked in packets. Whatever that is,
// an answer is a loopback address that stands for an allowed name, or none.
func FuzzQuestion(f *testing.F) {
	for _, name := range []string{"allowed.example.", "ALLOWED.example.", "a.wild.example.", "wild.example.", "evil.example.", "localhost.", ".", `a\000b.wild.example.`, strings.Repeat("a.", 100) + "wild.example."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypePTR, dns.TypeANY, dns.TypeTXT} {
			packet, err := new(dns.Msg).SetQuestion(name, kind).Pack()
			if err != nil {
				continue
			}
			f.Add(packet)
		}
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01"))
	n := newNames(newTunnels((&asked{}).begin))
	n.set(table(neck.Name{Host: "allowed.example"}, neck.Name{Host: "wild.example", Suffix: true}))
	f.Cleanup(n.close)
	pools := []netip.Prefix{netip.MustParsePrefix(exactPrefix), netip.MustParsePrefix(wildcardPrefix), netip.PrefixFrom(localhost, 32)}
	f.Fuzz(func(t *testing.T, packet []byte) {
		question := new(dns.Msg)
		if question.Unpack(packet) != nil {
			return
		}
		told, err := lru.New[string, struct{}](maxTold)
		if err != nil {
			t.Fatal(err)
		}
		server := &nameServer{names: n, open: (&asked{}).open, told: told, telling: new(underway)}
		reply := &replies{}
		server.ServeDNS(reply, question)
		server.group.Wait()
		if reply.answer == nil || reply.answer.Id != question.Id || !reply.answer.Response {
			t.Fatalf("the answer to %v is %v", question, reply.answer)
		}
		for _, record := range reply.answer.Answer {
			a, ok := record.(*dns.A)
			name := canonical(question.Question[0].Name)
			if !ok || name != "allowed.example" && name != "localhost" && !strings.HasSuffix(name, ".wild.example") {
				t.Fatalf("%v is answered with %v", question.Question, record)
			}
			address, _ := netip.AddrFromSlice(a.A)
			if !pools[0].Contains(address.Unmap()) && !pools[1].Contains(address.Unmap()) && !pools[2].Contains(address.Unmap()) {
				t.Errorf("%s stands at %s", name, address)
			}
		}
	})
}
