package egress

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// site is a web server that records what reaches it.
type site struct {
	*far
	mu    sync.Mutex
	heard []string
}

func newSite(t testing.TB) *site {
	s := &site{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.heard = append(s.heard, fmt.Sprintf("%s %s %s %s", r.Method, r.Host, r.RequestURI, body))
		s.mu.Unlock()
		for _, name := range []string{"Upgrade", "Proxy-Authorization", "X-Forwarded-For", "Expect"} {
			if value := r.Header.Get(name); value != "" {
				t.Errorf("%s went on: %s", name, value)
			}
		}
		_, _ = io.WriteString(w, "answer to "+r.RequestURI)
	}))
	t.Cleanup(server.Close)
	s.far = &far{t: t, listener: server.Listener}
	return s
}

func (s *site) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heard...)
}

// smuggled are attempts to get a second request, another host or another
// protocol past the check, and what the refusal says.
func smuggled() map[string]struct{ sent, want string } {
	type attempt = struct{ sent, want string }
	const host = "Host: api.example.com\r\n"
	get := func(lines string) string { return "GET / HTTP/1.1\r\n" + lines + "\r\n" }
	post := func(lines, body string) string {
		return "POST / HTTP/1.1\r\n" + host + lines + "\r\n" + body
	}
	const inner = "GET /admin HTTP/1.1\r\nHost: evil.org\r\n\r\n"
	return map[string]attempt{
		"another host":              {get("Host: evil.org\r\n"), "for host"},
		"a host below":              {get("Host: x.api.example.com\r\n"), "for host"},
		"a host as prefix":          {get("Host: api.example.com.evil.org\r\n"), "for host"},
		"another port":              {get("Host: api.example.com:8080\r\n"), "for host"},
		"user before the host":      {get("Host: evil.org@api.example.com\r\n"), "for host"},
		"host behind a user":        {get("Host: api.example.com@evil.org\r\n"), "for host"},
		"two hosts in one":          {get("Host: api.example.com, evil.org\r\n"), "for host"},
		"a path in the host":        {get("Host: api.example.com/evil\r\n"), "for host"},
		"an address":                {get("Host: 127.0.0.1\r\n"), "for host"},
		"an empty host":             {get("Host:\r\n"), "for host"},
		"no host":                   {get(""), "names 0 hosts"},
		"no host in HTTP/1.0":       {"GET / HTTP/1.0\r\n\r\n", "names 0 hosts"},
		"two hosts":                 {get(host + "Host: evil.org\r\n"), "for host"},
		"the same host twice":       {get(host + host), "names 2 hosts"},
		"absolute, another":         {"GET http://evil.org/ HTTP/1.1\r\n" + host + "\r\n", "for host"},
		"absolute, header another":  {"GET http://api.example.com/ HTTP/1.1\r\nHost: evil.org\r\n\r\n", "for host"},
		"absolute, user":            {"GET http://api.example.com@evil.org/ HTTP/1.1\r\n" + host + "\r\n", "for host"},
		"absolute, backslash":       {"GET http://evil.org\\.api.example.com/ HTTP/1.1\r\n" + host + "\r\n", "for host"},
		"absolute, https":           {"GET https://api.example.com/ HTTP/1.1\r\n" + host + "\r\n", "begin with /"},
		"a path without slash":      {"GET evil HTTP/1.1\r\n" + host + "\r\n", "begin with /"},
		"CONNECT":                   {"CONNECT api.example.com:80 HTTP/1.1\r\n" + host + "\r\n", "CONNECT is not"},
		"TRACE":                     {"TRACE / HTTP/1.1\r\n" + host + "\r\n", "TRACE is not"},
		"websocket":                 {get(host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), "not switched"},
		"h2c":                       {get(host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), "not switched"},
		"settings of h2 alone":      {get(host + "HTTP2-Settings: AAMAAABk\r\n"), "not switched"},
		"h2 at once":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1.1"},
		"HTTP/0.9":                  {"GET /\r\n\r\n", "not HTTP/1.1"},
		"HTTP/1.2":                  {"GET / HTTP/1.2\r\n" + host + "\r\n", "not HTTP/1.1"},
		"lower-case http":           {"GET / http/1.1\r\n" + host + "\r\n", "not HTTP/1.1"},
		"two blanks":                {"GET  / HTTP/1.1\r\n" + host + "\r\n", "not HTTP/1.1"},
		"a tab in the line":         {"GET\t/ HTTP/1.1\r\n" + host + "\r\n", "not HTTP/1.1"},
		"TLS":                       {"\x16\x03\x01\x00\x05hello\r\n\r\n", "not HTTP/1.1"},
		"SSH":                       {"SSH-2.0-x\r\n\r\n", "not HTTP/1.1"},
		"length and chunks":         {post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), "more than one way"},
		"chunks and length":         {post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+inner), "more than one way"},
		"two lengths":               {post("Content-Length: 0\r\nContent-Length: 44\r\n", inner), "more than one way"},
		"the same length twice":     {post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), "more than one way"},
		"a list of lengths":         {post("Content-Length: 1, 1\r\n", "x"), "more than one way"},
		"a length with a sign":      {post("Content-Length: +1\r\n", "x"), "more than one way"},
		"a negative length":         {post("Content-Length: -1\r\n", "x"), "more than one way"},
		"a length in hex":           {post("Content-Length: 0x1\r\n", "x"), "more than one way"},
		"an empty length":           {post("Content-Length:\r\n", "x"), "more than one way"},
		"chunks by two lines":       {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "more than one way"},
		"gzip, chunked":             {post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "more than one way"},
		"xchunked":                  {post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), "more than one way"},
		"identity":                  {post("Transfer-Encoding: identity\r\n", inner), "more than one way"},
		"chunked with a form feed":  {post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), "control characters"},
		"chunks in HTTP/1.0":        {"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "more than one way"},
		"a blank before the colon":  {post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "has no name"},
		"a folded line":             {get(host + "X: a\r\n Transfer-Encoding: chunked\r\n"), "has no name"},
		"a folded host":             {get("Host:\r\n evil.org\r\n"), ""},
		"a first line that folds":   {"GET / HTTP/1.1\r\n " + host + "\r\n", "has no name"},
		"a line without colon":      {get(host + "nonsense\r\n"), "has no name"},
		"a name with NUL":           {get(host + "X\x00Y: a\r\n"), "has no name"},
		"a value with NUL":          {get(host + "X: a\x00b\r\n"), "control characters"},
		"a bare CR in a value":      {get(host + "X: a\rHost: evil.org\r\n"), "control characters"},
		"a bare CR as end":          {"GET / HTTP/1.1\rHost: evil.org\r\r\n\r\n", ""},
		"a bare LF":                 {"GET / HTTP/1.1\nHost: api.example.com\n\n", "CR LF"},
		"a bare LF among others":    {get(host + "X: a\nTransfer-Encoding: chunked\r\n"), "control characters"},
		"an empty line first":       {"\r\n" + get(host), "not HTTP/1.1"},
		"a chunk extension":         {post("Transfer-Encoding: chunked\r\n", "1;x=y\r\nx\r\n0\r\n\r\n"), "more than one way"},
		"a chunk in 0x":             {post("Transfer-Encoding: chunked\r\n", "0x1\r\nx\r\n0\r\n\r\n"), "more than one way"},
		"a chunk by a bare LF":      {post("Transfer-Encoding: chunked\r\n", "1\nx\r\n0\r\n\r\n"), "more than one way"},
		"a chunk that is too short": {post("Transfer-Encoding: chunked\r\n", "1\r\nxyz\r\n0\r\n\r\n"), "more than one way"},
		"a huge chunk":              {post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"), "more than one way"},
		"a trailer":                 {post("Transfer-Encoding: chunked\r\n", "0\r\nHost: evil.org\r\n\r\n"), "more than one way"},
		"a notice of trailers":      {post("Transfer-Encoding: chunked\r\nTrailer: X\r\n", "0\r\n\r\n"), "trailers"},
		"an endless head":           {"GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", maxHead), "more than"},
	}
}

func TestT40_NoRequestIsReadInTwoWays(t *testing.T) {
	attempts := smuggled()
	if len(attempts) < 60 {
		t.Fatalf("only %d attempts", len(attempts))
	}
	for name, attempt := range attempts {
		t.Run(name, func(t *testing.T) {
			web := newSite(t)
			s := open(t, web.dialer(dialledName), time.Minute, dialledName, 80)
			_, _ = io.WriteString(s, attempt.sent)
			answer, _ := io.ReadAll(s)
			_ = s.Close()
			err := s.ends(t)
			if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), attempt.want) {
				t.Errorf("refused with %v, want %q", err, attempt.want)
			}
			if s.event.Allowed || s.event.Rule != ruleHTTP {
				t.Errorf("logged %+v", *s.event)
			}
			// A body that breaks off may have begun; no second request, and
			// none for another host, ever arrives.
			for _, heard := range web.all() {
				if !strings.HasPrefix(heard, "POST api.example.com / ") {
					t.Errorf("%q arrived", heard)
				}
			}
			if len(web.all()) > 1 {
				t.Errorf("arrived %q", web.all())
			}
			if len(web.all()) == 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") && !strings.HasPrefix(attempt.sent, "POST") {
				t.Errorf("the agent is told %q", answer)
			}
		})
	}
}

func TestT40_EveryRequestOfAConnectionIsChecked(t *testing.T) {
	web := newSite(t)
	s := open(t, web.dialer(dialledName), time.Minute, dialledName, 80)
	reader := bufio.NewReader(s)
	for i, request := range []string{
		"GET /1?a;b HTTP/1.1\r\nHost: API.example.com:80\r\n\r\n",
		"GET http://api.example.com/2 HTTP/1.1\r\nHost: api.example.com.\r\n\r\n",
		"POST /3 HTTP/1.1\r\nhost: api.example.com\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nwis\r\n1\r\nh\r\n0\r\n\r\n",
		"POST /4 HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\nX-Forwarded-For: 1.2.3.4\r\nProxy-Authorization: x\r\n\r\nwish",
		"HEAD //5 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
	} {
		_, _ = io.WriteString(s, request)
		response, err := http.ReadResponse(reader, &http.Request{Method: strings.Fields(request)[0]})
		if err == nil && response.StatusCode == http.StatusContinue {
			response, err = http.ReadResponse(reader, nil)
		}
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "answer to") && i != 4 {
			t.Errorf("request %d: %d %q, %v", i, response.StatusCode, body, err)
		}
	}
	_, _ = io.WriteString(s, "GET /6 HTTP/1.1\r\nHost: evil.org\r\n\r\n")
	if rest, _ := io.ReadAll(reader); !strings.Contains(string(rest), "403") {
		t.Errorf("the last request is answered %q", rest)
	}
	if err := s.ends(t); !errdefs.IsPermissionDenied(err) {
		t.Errorf("got %v", err)
	}
	want := []string{
		"GET api.example.com /1?a;b ", "GET api.example.com /2 ", "POST api.example.com /3 wish", "POST api.example.com /4 wish", "HEAD api.example.com //5 ",
	}
	if got := web.all(); !equal(got, want) {
		t.Errorf("arrived %q", got)
	}
	if s.event.Sent == 0 || s.event.Received == 0 {
		t.Errorf("logged %+v", *s.event)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	web := newSite(t)
	s := open(t, web.dialer(dialledName), time.Minute, dialledName, 80)
	for i := range 10 {
		_, _ = fmt.Fprintf(s, "GET /%d HTTP/1.1\r\nHost: api.example.com\r\n\r\n", i)
	}
	reader := bufio.NewReader(s)
	for i := range 10 {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(response.Body); string(body) != fmt.Sprintf("answer to /%d", i) {
			t.Errorf("answer %d is %q", i, body)
		}
	}
	_ = s.Close()
	if err := s.ends(t); err != nil || !s.event.Allowed {
		t.Errorf("%v, logged %+v", err, *s.event)
	}
}

func TestT35_HTTPToAPrivateAddressIsToldSo(t *testing.T) {
	web := newSite(t)
	dialer := web.dialer(dialledName)
	dialer.Resolver = &answers{list: [][]string{{"10.0.0.1"}}}
	s := open(t, dialer, time.Minute, dialledName, 80)
	_, _ = io.WriteString(s, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(s)
	_ = s.Close()
	if err := s.ends(t); !errdefs.IsPermissionDenied(err) || s.event.Rule != rulePrivate || !strings.Contains(string(answer), "a private address") {
		t.Errorf("%v, logged %+v, told %q", err, *s.event, answer)
	}
	if len(web.dialled) != 0 {
		t.Errorf("dialled %v", web.dialled)
	}
}

func TestAServerThatSwitchesProtocolsIsCut(t *testing.T) {
	f := newFar(t)
	go func() {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	s := open(t, f.dialer(dialledName), time.Minute, dialledName, 80)
	_, _ = io.WriteString(s, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(s)
	_ = s.Close()
	_ = s.ends(t)
	if strings.Contains(string(answer), "raw") || strings.HasPrefix(string(answer), "HTTP/1.1 101") {
		t.Errorf("came back %q", answer)
	}
}

func FuzzRequests(f *testing.F) {
	for _, attempt := range smuggled() {
		f.Add([]byte(attempt.sent))
	}
	f.Add([]byte("POST /3 HTTP/1.1\r\nhost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwis\r\n1\r\nh\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		inside, outside := tcpPair(t)
		go func() { _, _ = inside.Write(sent); _ = inside.CloseWrite() }()
		passed, _ := io.ReadAll(newRequests(outside, dialledName))
		// What comes through is read by net/http, request by request.
		reader := bufio.NewReader(strings.NewReader(string(passed)))
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if !isHost(request.Host, dialledName) {
				t.Fatalf("%q is for %q", passed, request.Host)
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
		}
	})
}
