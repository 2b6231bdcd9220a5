package integration

import (
	"strings"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"github.com/miekg/dns"
)

// smuggled are requests to allowedHost that must not pass: M is the mark, H the
// line that names the host as it should be, and O a mark of what may pass.
func smuggled() map[string]string {
	const chunked = "Transfer-Encoding: chunked\r\n"
	return map[string]string{
		"another host": "GET /M HTTP/1.1\r\nHost: evil.test\r\n\r\n", "another allowed host": "GET /M HTTP/1.1\r\nHost: port.example\r\n\r\n", "no host": "GET /M HTTP/1.1\r\nX: y\r\n\r\n", "an empty host": "GET /M HTTP/1.1\r\nHost:\r\n\r\n",
		"two hosts": "GET /M HTTP/1.1\r\nHHost: evil.test\r\n\r\n", "two hosts, the other first": "GET /M HTTP/1.1\r\nHost: evil.test\r\nH\r\n", "the host twice": "GET /M HTTP/1.1\r\nHH\r\n", "a list of hosts": "GET /M HTTP/1.1\r\nHost: allowed.example, evil.test\r\n\r\n",
		"a host with another port": "GET /M HTTP/1.1\r\nHost: allowed.example:8080\r\n\r\n", "a host with a user": "GET /M HTTP/1.1\r\nHost: evil.test@allowed.example\r\n\r\n", "a host with a path": "GET /M HTTP/1.1\r\nHost: allowed.example/evil\r\n\r\n",
		"a host below": "GET /M HTTP/1.1\r\nHost: sub.allowed.example\r\n\r\n", "a host that ends alike": "GET /M HTTP/1.1\r\nHost: xallowed.example\r\n\r\n", "an address": "GET /M HTTP/1.1\r\nHost: 93.184.216.34\r\n\r\n", "metadata": "GET /M HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
		"a host with NUL": "GET /M HTTP/1.1\r\nHost: allowed.example\x00.evil.test\r\n\r\n", "a host with a tab": "GET /M HTTP/1.1\r\nHost: allowed.example\tevil.test\r\n\r\n", "a host in Cyrillic": "GET /M HTTP/1.1\r\nHost: \xd0\xb0llowed.example\r\n\r\n", "a host in percents": "GET /M HTTP/1.1\r\nHost: %61llowed.example\r\n\r\n",
		"absolute": "GET http://evil.test/M HTTP/1.1\r\nH\r\n", "absolute, both": "GET http://evil.test/M HTTP/1.1\r\nHost: evil.test\r\n\r\n", "absolute with a user": "GET http://allowed.example@evil.test/M HTTP/1.1\r\nH\r\n", "absolute with a backslash": "GET http://evil.test\\@allowed.example/M HTTP/1.1\r\nH\r\n",
		"absolute with another port": "GET http://allowed.example:443/M HTTP/1.1\r\nH\r\n", "absolute by https": "GET https://allowed.example/M HTTP/1.1\r\nH\r\n", "absolute by ftp": "GET ftp://allowed.example/M HTTP/1.1\r\nH\r\n", "absolute by file": "GET file:///M HTTP/1.1\r\nH\r\n", "without scheme": "GET evil.test/M HTTP/1.1\r\nH\r\n",
		"CONNECT": "CONNECT evil.test:443 HTTP/1.1\r\nH\r\nM", "CONNECT to the host": "CONNECT allowed.example:80 HTTP/1.1\r\nH\r\nM", "CONNECT with a path": "CONNECT /M HTTP/1.1\r\nH\r\n", "TRACE": "TRACE /M HTTP/1.1\r\nH\r\n",
		"WebSocket": "GET /M HTTP/1.1\r\nHUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n", "h2c": "GET /M HTTP/1.1\r\nHUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n", "upgrade to TLS": "GET /M HTTP/1.1\r\nHUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n",
		"HTTP/2 outright": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nM", "HTTP/0.9": "GET /M\r\n\r\n", "HTTP/1.2": "GET /M HTTP/1.2\r\nH\r\n", "HTTP/3.0": "GET /M HTTP/3.0\r\nH\r\n", "no HTTP": "HELO M\r\n\r\n", "TLS": "\x16\x03\x01\x00\x05M\r\n\r\n",
		"length and chunks": "POST /M HTTP/1.1\r\nHContent-Length: 4\r\n" + chunked + "\r\n0\r\n\r\n", "chunks and length": "POST /M HTTP/1.1\r\nH" + chunked + "Content-Length: 4\r\n\r\n0\r\n\r\n", "two lengths": "POST /M HTTP/1.1\r\nHContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"a length with a sign": "POST /M HTTP/1.1\r\nHContent-Length: +1\r\n\r\na", "a length in hex": "POST /M HTTP/1.1\r\nHContent-Length: 0x1\r\n\r\na", "a list of lengths": "POST /M HTTP/1.1\r\nHContent-Length: 1, 1\r\n\r\na", "a negative length": "POST /M HTTP/1.1\r\nHContent-Length: -1\r\n\r\n",
		"chunks twice": "POST /M HTTP/1.1\r\nH" + chunked + chunked + "\r\n0\r\n\r\n", "chunks of something": "POST /M HTTP/1.1\r\nHTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "chunks by another name": "POST /M HTTP/1.1\r\nHTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "identity": "POST /M HTTP/1.1\r\nHTransfer-Encoding: identity\r\n\r\n",
		"chunks with a tab": "POST /M HTTP/1.1\r\nHTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", "chunks in 1.0": "POST /M HTTP/1.0\r\nH" + chunked + "\r\n0\r\n\r\n", "a blank before the colon": "POST /M HTTP/1.1\r\nHTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "trailers announced": "POST /M HTTP/1.1\r\nH" + chunked + "Trailer: X\r\n\r\n0\r\n\r\n",
		"a folded line": "GET /M HTTP/1.1\r\nHX: y\r\n evil\r\n\r\n", "a folded host": "GET /M HTTP/1.1\r\nHost:\r\n allowed.example\r\n\r\n", "a line without a name": "GET /M HTTP/1.1\r\nH: x\r\n\r\n", "a line without a colon": "GET /M HTTP/1.1\r\nHevil\r\n\r\n", "a bare LF": "GET /M HTTP/1.1\nHost: allowed.example\n\n", "a bare LF before a host": "GET /M HTTP/1.1\r\nHX: y\nHost: evil.test\r\n\r\n",
		"a bare CR": "GET /M HTTP/1.1\r\nHX: y\rHost: evil.test\r\n\r\n", "NUL in a line": "GET /M HTTP/1.1\r\nHX: y\x00z\r\n\r\n", "an empty line first": "\r\nGET /M HTTP/1.1\r\nH\r\n", "blanks in the path": "GET /M evil HTTP/1.1\r\nH\r\n", "a tab in the path": "GET\t/M\tHTTP/1.1\r\nH\r\n", "umlauts in the path": "GET /M\xc3\xbc HTTP/1.1\r\nH\r\n", "a method with blanks": " GET /M HTTP/1.1\r\nH\r\n", "a method that is no word": "G(T /M HTTP/1.1\r\nH\r\n",
		"a long head":               "GET /M HTTP/1.1\r\nHX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n",
		"second, another host":      "GET /O HTTP/1.1\r\nH\r\nGET /M HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"second, absolute":          "GET /O HTTP/1.1\r\nH\r\nGET http://evil.test/M HTTP/1.1\r\nH\r\n",
		"second, behind a body":     "POST /O HTTP/1.1\r\nHContent-Length: 2\r\n\r\nabGET /M HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"second, behind chunks":     "POST /O HTTP/1.1\r\nH" + chunked + "\r\n2\r\nab\r\n0\r\n\r\nGET /M HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"second, CONNECT":           "GET /O HTTP/1.1\r\nH\r\nCONNECT evil.test:443 HTTP/1.1\r\nH\r\nM",
		"a chunk with an extension": "POST /O HTTP/1.1\r\nH" + chunked + "\r\n2;M\r\nab\r\n0\r\n\r\n",
		"a chunk of a bad size":     "POST /O HTTP/1.1\r\nH" + chunked + "\r\n0x2\r\nM\r\n0\r\n\r\n",
		"a chunk with a sign":       "POST /O HTTP/1.1\r\nH" + chunked + "\r\n+2\r\nM\r\n0\r\n\r\n",
		"a chunk that goes on":      "POST /O HTTP/1.1\r\nH" + chunked + "\r\n2\r\nabM\r\n0\r\n\r\n",
		"a trailer":                 "POST /O HTTP/1.1\r\nH" + chunked + "\r\n2\r\nab\r\n0\r\nHost: M\r\n\r\n",
	}
}

// requests plays games with the host in HTTP.
func (t *table) requests() {
	const host = "Host: " + allowedHost + "\r\n"
	send := func(text string) func(mark string) attempt.Attempt {
		return func(mark string) attempt.Attempt {
			// The words of a request hold none of these letters by themselves.
			text := strings.NewReplacer("/M", "/"+mark, "/O", "/okay-"+mark[5:], "\r\nHost", "\r\nHost", "\r\nH\r\n", "\r\n"+host+"\r\n", "\r\nHH\r\n", "\r\n"+host+host+"\r\n", "\r\nH", "\r\n"+host, "M", mark).Replace(text)
			return attempt.Attempt{Kind: attempt.Question, Network: "udp", Query: question(allowedHost, dns.TypeA), Port: 80, Stay: true, Send: [][]byte{[]byte(text)}}
		}
	}
	for name, text := range smuggled() {
		added := t.refuse("HTTP", name, send(text))
		added.host, added.port = allowedHost, 80
	}
	for name, text := range map[string]string{
		"right": "GET /M HTTP/1.1\r\nH\r\n", "in capitals": "GET /M HTTP/1.1\r\nHost: ALLOWED.example\r\n\r\n", "with its port": "GET /M HTTP/1.1\r\nHost: allowed.example:80\r\n\r\n", "absolute": "GET http://allowed.example/M HTTP/1.1\r\nH\r\n",
		"a body": "POST /M HTTP/1.1\r\nHContent-Length: 2\r\n\r\nab", "chunks": "POST /M HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "HTTP/1.0": "GET /M HTTP/1.0\r\nH\r\n",
	} {
		t.allow("HTTP", name, send(text))
	}
}
