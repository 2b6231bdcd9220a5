package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// server is one of this machine's, with all that reached it.
type server struct {
	net.Listener
	mu     sync.Mutex
	heard  []string // requests
	opened []*counted
}

// counted is a connection that counts what the bottle sent.
type counted struct {
	net.Conn
	mu   sync.Mutex
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += n
	return n, err
}

// Accept implements net.Listener.
func (s *server) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := &counted{Conn: conn}
	s.opened = append(s.opened, known)
	return known, nil
}

// bytes is how much has come in all.
func (s *server) bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for _, conn := range s.opened {
		conn.mu.Lock()
		all += conn.read
		conn.mu.Unlock()
	}
	return all
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// serve starts a server of HTTP, or of HTTPS, on a port of this machine.
func serve(t *testing.T, address string, secure bool) *server {
	t.Helper()
	s := &server{Listener: listen(t, address)}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.heard = append(s.heard, r.Method+" "+r.Host+" "+r.RequestURI)
		s.mu.Unlock()
		_, _ = io.WriteString(w, "the far end answers")
	}))
	_ = web.Listener.Close()
	web.Listener = s
	if secure {
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(web.Close)
	return s
}

// events are the lines of the audit log of bottles that are gone but for it.
func events(t *testing.T, u *bottletest.User) []egress.Event {
	t.Helper()
	// A connection is logged once it has ended: all are when nobody is left who could.
	bottletest.Eventually(t, "the supervisors end", func() bool { return len(u.Supervisors()) == 0 })
	return logged(t, u)
}

// logged are the lines so far.
func logged(t *testing.T, u *bottletest.User) []egress.Event {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "egress.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("audit logs are %v, %v", files, err)
	}
	var data []byte
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, lines...)
	}
	var list []egress.Event
	for line := range strings.Lines(string(data)) {
		var event egress.Event
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, event)
	}
	return list
}

func TestT35_T39_T40_WhatIsSaidOnAllowedConnectionsIsChecked(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		name, address := bottletest.OwnName(t)
		secure, other := serve(t, address+":443", true), serve(t, address+":0", true)
		plain := serve(t, address+":80", false)
		_, port, _ := net.SplitHostPort(other.Addr().String())
		reached := []string{
			fmt.Sprintf("tls:%s:443:%s", name, name),
			fmt.Sprintf("tls:%s:%s:%s", name, port, name),
			fmt.Sprintf(`raw:%s:80:GET_/ok_HTTP/1.1\r\nHost:_%s\r\nConnection:_close\r\n\r\n`, name, name),
		}
		cut := []string{
			fmt.Sprintf("tls:%s:443:evil.example", name),
			fmt.Sprintf("tls:%s:443:", name),
			fmt.Sprintf("ssl:%s:443:%s", name, name),
			fmt.Sprintf(`raw:%s:443:GET_/_HTTP/1.1\r\nHost:_%s\r\n\r\n`, name, name),
			fmt.Sprintf(`raw:%s:443:SSH-2.0-x\r\n`, name),
			fmt.Sprintf("tls:%s:%s:evil.example", name, port),
			fmt.Sprintf(`raw:%s:80:GET_/_HTTP/1.1\r\nHost:_evil.example\r\n\r\n`, name),
			fmt.Sprintf(`raw:%s:80:GET_http://evil.example/_HTTP/1.1\r\nHost:_%s\r\n\r\n`, name, name),
			fmt.Sprintf(`raw:%s:80:CONNECT_evil.example_HTTP/1.1\r\nHost:_%s\r\n\r\n`, name, name),
			fmt.Sprintf(`raw:%s:80:POST_/_HTTP/1.1\r\nHost:_%s\r\nContent-Length:_1\r\nTransfer-Encoding:_chunked\r\n\r\n0\r\n\r\n`, name, name),
			fmt.Sprintf(`raw:%s:80:GET_/_HTTP/1.1\r\nHost:_%s\r\nUpgrade:_h2c\r\nConnection:_Upgrade\r\n\r\n`, name, name),
		}
		run := func(tries []string, lines ...string) map[string]string {
			quoted := make([]string, len(tries))
			for i, try := range tries {
				quoted[i] = "'" + try + "'"
			}
			said, all := attacks(t, u, runtime, "reach "+strings.Join(quoted, " ")+"; echo work > kept.txt", lines...)
			t.Log(all)
			return said
		}
		allow := fmt.Sprintf("egress: {allow: [%q, \"%s:%s\"], private: [{host: %s, range: %s/32}]}", name, name, port, name, address)

		for try, how := range run(cut, allow) {
			if strings.Contains(how, "the far end answers") {
				t.Errorf("%s was answered: %s", try, how)
			}
		}
		if secure.bytes() != 0 || other.bytes() != 0 || plain.bytes() != 0 {
			t.Errorf("%d, %d and %d bytes of what was cut arrived", secure.bytes(), other.bytes(), plain.bytes())
		}
		refused := 0
		for _, event := range events(t, u) {
			if event.Kind == "dial" && !event.Allowed && event.Host == name && event.Reason != "" && strings.HasSuffix(event.Rule, "names its host") {
				refused++
			}
		}
		if refused != len(cut) {
			t.Errorf("%d of %d refusals are logged: %+v", refused, len(cut), events(t, u))
		}

		said := run(reached, allow)
		for _, try := range reached {
			bottletest.Contains(t, said["reach "+try], "HTTP/1.1 200 OK", "the far end answers")
		}
		for _, s := range []*server{secure, other, plain} {
			if len(s.requests()) != 1 || s.bytes() == 0 {
				t.Errorf("%s heard %q", s.Addr(), s.requests())
			}
		}
		went := 0
		for _, event := range events(t, u) {
			if event.Allowed && event.Sent > 0 && event.Received > 0 && event.Rule == name+" (egress.allow)" {
				went++
			}
		}
		if went != len(reached) {
			t.Errorf("%d of %d connections are logged: %+v", went, len(reached), events(t, u))
		}

		// Without its range the very same name leads nowhere.
		before := secure.bytes()
		for try, how := range run(reached[:1], fmt.Sprintf("egress: {allow: [%q]}", name)) {
			if strings.Contains(how, "the far end answers") {
				t.Errorf("%s was answered without a range: %s", try, how)
			}
		}
		if secure.bytes() != before {
			t.Error("T35: bytes arrived at a private address that is not named")
		}
	})
}

func TestAnOpenBottleAnswersAnyNameAndStillDialsNothingPrivate(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		name, address := bottletest.OwnName(t)
		secure := serve(t, address+":443", true)
		said, all := attacks(t, u, runtime, "reach tls:"+name+":443:"+name+" tls:localhost:443:localhost tls:nowhere.invalid:443:nowhere.invalid tls:does-not-exist.example:443:x; echo work > kept.txt", "egress: {mode: open}")
		if len(said) != 4 || strings.Contains(all, "the far end answers") || secure.bytes() != 0 {
			t.Errorf("%d bytes arrived:\n%s", secure.bytes(), all)
		}
		// The name that is a public one by its form was asked of the host.
		asked := false
		for _, event := range events(t, u) {
			asked = asked || event.Kind == "dial" && event.Host == "does-not-exist.example" && event.Rule == "* (egress.mode open)"
		}
		if !asked {
			t.Errorf("the name was not asked for: %+v", events(t, u))
		}
		r := u.Run("start", "tester", "--dry-run", "--runtime", runtime).Want(t, 0)
		bottletest.Contains(t, r.Stdout+r.Stderr, "* port 80, 443 (egress.mode open)", "WARNING", "EVERY public host")
	})
}

func TestThePlanShowsPresetsRangesAndTheProxy(t *testing.T) {
	u := newUser(t, "2.4")
	bottle(u, "egress: {presets: [npm], allow: [git.corp.example], private: [{host: git.corp.example, range: 10.1.0.0/16}]}")
	command := u.Command("start", "tester", "--dry-run", "--runtime", "runc")
	command.Env = append(command.Env, "HTTPS_PROXY=http://user:wish-canary@proxy.corp.example:3128")
	r := u.RunCommand(command).Want(t, 0)
	all := r.Stdout + r.Stderr
	bottletest.Contains(t, all, "registry.npmjs.org port 443 (preset npm (v1))", "git.corp.example port 80, 443 (egress.allow), also at 10.1.0.0/16",
		"egress.private: git.corp.example", "proxy.corp.example:3128", "checked by that proxy")
	if strings.Contains(all, "wish-canary") {
		t.Errorf("the plan shows the password:\n%s", all)
	}
	for lines, want := range map[string]string{
		"egress: {presets: [github]}": "credentials:", "egress: {presets: [nmp]}": "did you mean npm?", "egress: {mode: sometimes}": "egress.mode",
		"egress: {private: [{host: a.example, range: 10.0.0.1}]}": "give a range", "egress: {private: [{host: a.example, range: 10.0.0.0/8}]}": "add it to egress.allow",
	} {
		bottle(u, lines)
		if r := u.Run("start", "tester", "--dry-run", "--runtime", "runc"); r.Code != 125 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: exit code %d, %s", lines, r.Code, r.Stderr)
		}
	}
}
