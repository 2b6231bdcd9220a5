package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/miekg/dns"
)

const (
	answerTTL = 5    // seconds; an address of a wildcard may pass on
	maxTold   = 256  // names that are remembered as told
	maxPacket = 1232 // bytes of an answer over UDP, as the DNS flag day has it
)

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// nameServer answers the bottle's DNS questions, from the policy alone: nothing
// is ever looked up outside.
type nameServer struct {
	names   *names
	open    opener
	told    *lru.Cache[string, struct{}]
	telling *underway
	servers []*dns.Server
	group   sync.WaitGroup
}

// newNameServer listens on the address, over UDP and TCP.
func newNameServer(address string, names *names, open opener, telling *underway) (*nameServer, error) {
	told, err := lru.New[string, struct{}](maxTold)
	if err != nil {
		return nil, fmt.Errorf("remember names: %w", err)
	}
	s := &nameServer{names: names, open: open, told: told, telling: telling}
	packets, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	listener, err := net.Listen("tcp4", packets.LocalAddr().String())
	if err != nil {
		_ = packets.Close()
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: s}, {Listener: listener, Handler: s, MaxTCPQueries: 128},
	} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.servers = append(s.servers, server)
		s.group.Go(func() { _ = server.ActivateAndServe() })
		<-started
	}
	return s, nil
}

func (s *nameServer) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, server := range s.servers {
		_ = server.ShutdownContext(ctx)
	}
	s.group.Wait()
}

// ServeDNS implements dns.Handler.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(question)
	answer.RecursionAvailable = true
	if extended := question.IsEdns0(); extended != nil {
		answer.SetEdns0(maxPacket, false)
		if extended.Version() != 0 {
			answer.Rcode = dns.RcodeBadVers
			_ = w.WriteMsg(answer)
			return
		}
	}
	if len(question.Question) != 1 || question.Question[0].Qclass != dns.ClassINET {
		answer.Rcode = dns.RcodeRefused
		_ = w.WriteMsg(answer)
		return
	}
	asked := question.Question[0]
	address, ok := s.names.lookup(asked.Name)
	switch name := canonical(asked.Name); {
	case name == "localhost":
		address, ok = localhost, true
	case ok:
		s.tell(name)
	default:
		answer.Rcode = dns.RcodeNameError
		if !s.aside(answer, asked) {
			s.tell(name)
		}
	}
	if ok && asked.Qtype == dns.TypeA {
		answer.Answer = append(answer.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: answerTTL},
			A:   address.AsSlice(),
		})
	}
	_ = w.WriteMsg(answer)
}

// tell lets the host know of a name, once, so that the user can see what the
// agent wanted. It never delays an answer.
func (s *nameServer) tell(name string) {
	if known, _ := s.told.ContainsOrAdd(name, struct{}{}); known {
		return
	}
	s.telling.begin()
	s.group.Go(func() {
		defer s.telling.end()
		stream, err := s.open(neck.Request{Kind: neck.KindName, Host: name})
		if err == nil {
			_ = stream.Close()
		}
	})
}
