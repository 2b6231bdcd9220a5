package integration

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"github.com/miekg/dns"
)

// hello is a TLS ClientHello, part by part, so that each can be wrong.
type hello struct {
	version     uint16
	random      []byte
	session     []byte
	ciphers     []byte
	compression []byte
	extensions  []extension
	after       []byte // in the same message
}

type extension struct {
	number uint16
	data   []byte
}

// newHello is a right one, with the mark as its random.
func newHello(mark string, names ...string) *hello {
	h := &hello{version: 0x0303, random: append([]byte(mark), make([]byte, 32-len(mark))...), ciphers: []byte{0x13, 0x01, 0xc0, 0x2f}, compression: []byte{0}}
	for _, name := range names {
		h.extensions = append(h.extensions, extension{0, serverNames(0, name)})
	}
	h.extensions = append(h.extensions, extension{43, []byte{4, 3, 4, 3, 3}}, extension{10, []byte{0, 2, 0, 29}}, extension{51, append([]byte{0, 36, 0, 29, 0, 32}, make([]byte, 32)...)})
	return h
}

// serverNames is the list of the extension.
func serverNames(kind byte, names ...string) []byte {
	var list []byte
	for _, name := range names {
		list = binary.BigEndian.AppendUint16(append(list, kind), uint16(len(name)))
		list = append(list, name...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
}

func (h *hello) message() []byte {
	body := binary.BigEndian.AppendUint16(nil, h.version)
	body = append(append(body, h.random...), byte(len(h.session)))
	body = binary.BigEndian.AppendUint16(append(body, h.session...), uint16(len(h.ciphers)))
	body = append(append(body, h.ciphers...), byte(len(h.compression)))
	body = append(body, h.compression...)
	var list []byte
	for _, one := range h.extensions {
		list = binary.BigEndian.AppendUint16(list, one.number)
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(one.data))), one.data...)
	}
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(list))), list...)
	body = append(body, h.after...)
	return append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func (h *hello) record() []byte { return handshakeRecord(h.message()) }

func handshakeRecord(message []byte) []byte {
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

// inRecords cuts a message into records of so many bytes.
func inRecords(message []byte, size int) (pieces [][]byte) {
	for len(message) > 0 {
		n := min(size, len(message))
		pieces, message = append(pieces, handshakeRecord(message[:n])), message[n:]
	}
	return pieces
}

// inPieces cuts what is sent, so that it comes in as many segments.
func inPieces(data []byte, count int) (pieces [][]byte) {
	size := (len(data) + count - 1) / count
	for len(data) > 0 {
		n := min(size, len(data))
		pieces, data = append(pieces, data[:n]), data[n:]
	}
	return pieces
}

// wrongHellos are hellos to allowedHost that must not pass.
func wrongHellos() map[string]func(h *hello) {
	named := func(names ...string) func(h *hello) {
		return func(h *hello) { h.extensions[0].data = serverNames(0, names...) }
	}
	more := func(number uint16, data string) func(h *hello) {
		return func(h *hello) { h.extensions = append(h.extensions, extension{number, []byte(data)}) }
	}
	versions := func(legacy uint16, list ...byte) func(h *hello) {
		return func(h *hello) { h.version, h.extensions[1].data = legacy, append([]byte{byte(len(list))}, list...) }
	}
	return map[string]func(h *hello){
		"no name": func(h *hello) { h.extensions = h.extensions[1:] }, "no extension": func(h *hello) { h.extensions = nil },
		"another name": named("evil.test"), "another allowed name": named(portHost), "a name below": named("sub." + allowedHost), "a name above": named("example"), "a name that ends alike": named("x" + allowedHost),
		"a name that begins alike": named(allowedHost + ".evil.test"), "a final dot": named(allowedHost + "."), "an early dot": named("." + allowedHost), "two dots": named("allowed..example"),
		"two names": named(allowedHost, "evil.test"), "two names, the other first": named("evil.test", allowedHost), "the name twice": named(allowedHost, allowedHost), "an empty name": named(""), "an empty list": named(),
		"NUL and more": named(allowedHost + "\x00.evil.test"), "NUL": named(allowedHost + "\x00"), "NUL before": named("\x00" + allowedHost), "a blank": named(allowedHost + " "), "a line end": named(allowedHost + "\r\n"), "a port": named(allowedHost + ":443"),
		"a star": named("*.example"), "an address": named(allowedAt), "an address in brackets": named("[::1]"), "Cyrillic": named("\xd0\xb0llowed.example"), "punycode": named("xn--llowed-2ve.example"), "fullwidth": named("\xef\xbd\x81llowed.example"), "a long name": named(strings.Repeat("a", 4000)),
		"a name of type 1": func(h *hello) { h.extensions[0].data = serverNames(1, allowedHost) }, "a list cut short": func(h *hello) { h.extensions[0].data = h.extensions[0].data[:9] },
		"bytes after the list": func(h *hello) { h.extensions[0].data = append(h.extensions[0].data, 0, 0) },
		"the extension twice":  func(h *hello) { h.extensions = append(h.extensions, extension{0, serverNames(0, "evil.test")}) }, "the other first": func(h *hello) {
			h.extensions = append([]extension{{0, serverNames(0, "evil.test")}}, h.extensions...)
		},
		"ECH": more(0xfe0d, "\x00\x00\x01\x00\x01\x01\x00\x20"+strings.Repeat("k", 32)+"\x00\x04evil"), "inner ECH": more(0xfe0d, "\x01"), "empty ECH": more(0xfe0d, ""), "ECH of draft 8": more(0xfe08, "evil"), "ECH of draft 10": more(0xfe0a, "evil"), "ESNI": more(0xffce, "evil"),
		"TLS 1.1 alone": func(h *hello) { h.version, h.extensions = 0x0302, h.extensions[:1] }, "TLS 1.0 alone": func(h *hello) { h.version, h.extensions = 0x0301, h.extensions[:1] }, "SSL 3": func(h *hello) { h.version, h.extensions = 0x0300, h.extensions[:1] },
		"TLS 1.1 in the list": versions(0x0303, 3, 2), "nothing in the list": versions(0x0303), "GREASE in the list": versions(0x0303, 0x8a, 0x8a), "TLS 1.3 behind 1.0": versions(0x0301, 3, 4), "half a version": versions(0x0303, 3, 4, 3), "TLS 1.4": func(h *hello) { h.version = 0x0305 },
		"compression": func(h *hello) { h.compression = []byte{1, 0} }, "no compression": func(h *hello) { h.compression = nil }, "no cipher": func(h *hello) { h.ciphers = nil }, "half a cipher": func(h *hello) { h.ciphers = h.ciphers[:3] },
		"a long session": func(h *hello) { h.session = make([]byte, 33) }, "bytes after the extensions": func(h *hello) { h.after = []byte("evil") },
	}
}

// hellos plays games with the name in TLS.
func (t *table) hellos() {
	to := func(host string, port uint16, turns bool, build func(mark string) [][]byte) func(mark string) attempt.Attempt {
		return func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: question(host, dns.TypeA), Port: port, Turns: turns, Send: build(mark)}
		}
	}
	refuse := func(name string, port uint16, build func(mark string) [][]byte) {
		host := map[uint16]string{443: allowedHost, otherPort: portHost}[port]
		added := t.refuse("TLS", name, to(host, port, false, build))
		added.host, added.port = host, port
	}
	for name, wrong := range wrongHellos() {
		spoiled := func(mark string) *hello {
			h := newHello(mark, allowedHost)
			wrong(h)
			return h
		}
		refuse(name, 443, func(mark string) [][]byte { return [][]byte{spoiled(mark).record()} })
		if strings.Contains(name, "name") {
			refuse(name+", in 20 segments", 443, func(mark string) [][]byte { return inPieces(spoiled(mark).record(), 20) })
			refuse(name+", in many records", 443, func(mark string) [][]byte { return inRecords(spoiled(mark).message(), 7) })
		}
	}
	for name, data := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\nHost: allowed.example\r\nX: ", "SSH": "SSH-2.0-", "SMTP": "EHLO ", "an alert": "\x15\x03\x01\x00\x02\x02\x28", "data": "\x17\x03\x03\x00\x09", "a change of ciphers": "\x14\x03\x01\x00\x01\x01", "heartbeat": "\x18\x03\x02\x00\x03\x01\x40\x00",
		"SSL 2": "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "zeros": strings.Repeat("\x00", 100), "an empty record": "\x16\x03\x01\x00\x00", "a record of SSL 2": "\x16\x02\x00\x00\x09", "a long record": "\x16\x03\x01\xff\xff", "a server's hello": "\x16\x03\x01\x00\x0d\x02\x00\x00\x09", "a hello request": "\x16\x03\x01\x00\x0d\x00\x00\x00\x09", "half a hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a long hello": "\x16\x03\x01\x40\x00\x01\x01\x00\x00\x03\x03",
	} {
		refuse("not a hello but "+name, 443, func(mark string) [][]byte { return [][]byte{[]byte(data + mark)} })
	}
	refuse("two messages in a record", 443, func(mark string) [][]byte {
		return [][]byte{handshakeRecord(append(newHello(mark, allowedHost).message(), newHello(mark, "evil.test").message()...))}
	})
	for _, name := range []string{"no name", "another name", "ECH", "TLS 1.1 alone", "NUL and more", "two names"} {
		refuse(name+", on another port", otherPort, func(mark string) [][]byte {
			h := newHello(mark, portHost)
			wrongHellos()[name](h)
			return [][]byte{h.record()}
		})
	}
	right := func(mark string) []byte { return newHello(mark, allowedHost).record() }
	t.allow("TLS", "right", to(allowedHost, 443, false, func(mark string) [][]byte { return [][]byte{right(mark)} }))
	t.allow("TLS", "right, in 20 segments", to(allowedHost, 443, false, func(mark string) [][]byte { return inPieces(right(mark), 20) }))
	t.allow("TLS", "right, in many records", to(allowedHost, 443, false, func(mark string) [][]byte { return inRecords(newHello(mark, allowedHost).message(), 7) }))
	t.allow("TLS", "right, in capitals", to(allowedHost, 443, false, func(mark string) [][]byte { return [][]byte{newHello(mark, "ALLOWED.example").record()} }))
	t.allow("TLS", "right, on another port", to(portHost, otherPort, false, func(mark string) [][]byte { return [][]byte{newHello(mark, portHost).record()} }))
	t.allow("TLS", "none, on another port", to(portHost, otherPort, false, func(mark string) [][]byte { return [][]byte{[]byte("SSH-2.0-" + mark)} }))
	first := func(mark string) []byte {
		return newHello(strings.Replace(mark, "evil", "okay", 1), retryHost).record()
	}
	again := map[string]*hello{"no name": newHello("x"), "another name": newHello("x", "evil.test"), "another allowed name": newHello("x", allowedHost), "NUL and more": newHello("x", retryHost+"\x00.evil.test"), "ECH": newHello("x", retryHost)}
	wrongHellos()["ECH"](again["ECH"])
	for name, second := range again {
		added := t.refuse("TLS", "a second hello with "+name, to(retryHost, 443, true, func(mark string) [][]byte {
			marked := *second
			marked.random = newHello(mark).random
			return [][]byte{first(mark), marked.record()}
		}))
		added.host, added.port = retryHost, 443
	}
	t.allow("TLS", "a second hello that is right", to(retryHost, 443, true, func(mark string) [][]byte {
		return [][]byte{newHello("okay"+mark[4:], retryHost).record(), newHello(mark, retryHost).record()}
	}))
}

// helloRetry asks for another hello.
func helloRetry() []byte {
	random := []byte("\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c")
	body := append(append([]byte{3, 3}, random...), 0, 0x13, 1, 0, 0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23)
	return handshakeRecord(append([]byte{2, 0, 0, byte(len(body))}, body...))
}

// farAnswers is what the listeners beyond say.
func farAnswers(to netip.AddrPort, heard []byte, turn int) (answer []byte, last bool) {
	switch {
	case to.Port() == 80 && bytes.Contains(heard, []byte("\r\n\r\n")) && turn == 0:
		return []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"), true
	case to.Port() == 80:
		return nil, false
	case to.Addr().Unmap() == netip.MustParseAddr(retryAt) && turn == 0:
		return helloRetry(), false
	case turn < 2:
		return []byte{21, 3, 3, 0, 2, 2, 40}, true
	}
	return nil, true
}
