package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// pends waits until the bottle asks for host and port.
func (b *busy) pends(host string, port uint16) {
	b.Helper()
	bottletest.Eventually(b, fmt.Sprintf("%s:%d is held", host, port), func() bool {
		var held []egress.Held
		if err := json.Unmarshal([]byte(b.Run("egress", "pending", "tester", "-o", "json").Want(b, 0).Stdout), &held); err != nil {
			b.Fatal(err)
		}
		return len(held) == 1 && held[0].Host == host && held[0].Port == port && held[0].Waiting == 1
	})
}

func TestAnUnknownHostIsAskedFor(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		name, address := bottletest.OwnName(t)
		secure, plain := serve(t, address+":443", true), serve(t, address+":80", false)
		asks := func(wait string) string {
			return fmt.Sprintf("egress: {mode: ask, askTimeout: %s, private: [{host: %s, range: %s/32}]}", wait, name, address)
		}
		b := occupied(t, u, runtime, asks("30m"))
		bottletest.Contains(t, u.Run("egress", "test", "tester", name).Want(t, 1).Stdout, "asked: "+name+":443 by egress.mode ask")
		page := b.order(reaches(name, "443"))
		b.pends(name, 443)
		bottletest.Contains(t, u.Run("egress", "pending", "tester").Want(t, 0).Stdout, "HOST", name+":443")
		if r := u.Run("egress", "approve", "tester", name+":80"); r.Code != 1 || !strings.Contains(r.Stderr, "nothing is held") {
			t.Errorf("approved what is not held: %d, %s", r.Code, r.Stderr)
		}
		if len(secure.requests()) != 0 || secure.bytes() != 0 {
			t.Error("the server was reached before the answer")
		}
		u.Run("egress", "approve", "tester", name).Want(t, 0)
		bottletest.Contains(t, page(), answered)
		bottletest.Contains(t, b.order(reaches(name, "443"))(), answered)

		page = b.order(fmt.Sprintf(`./attack reach 'raw:%s:80:GET_/_HTTP/1.1\r\nHost:_%s\r\nConnection:_close\r\n\r\n'`, name, name))
		b.pends(name, 80)
		u.Run("egress", "deny", "tester", name+":80").Want(t, 0)
		if out := page(); strings.Contains(out, answered) || plain.bytes() != 0 {
			t.Errorf("the server was reached after a no: %s", out)
		}
		if r := b.stops(); strings.Contains(r.Stderr, "denied:") {
			t.Errorf("what the user has denied is no news:\n%s", r.Stderr)
		}

		// Nobody answers.
		b = occupied(t, u, runtime, asks("1s"))
		before := secure.bytes()
		if out := b.order(reaches(name, "443"))(); strings.Contains(out, answered) || secure.bytes() != before {
			t.Errorf("the server was reached without an answer: %s", out)
		}
		log := u.Run("egress", "log", "tester").Want(t, 0).Stdout
		bottletest.Contains(t, log, "held for an answer", "nobody has allowed it within 1s")
		bottletest.Contains(t, b.stops().Stderr, "claude-bottle: denied: "+name+":443; to allow it, add it to egress.allow in ")
	})
}

func TestWhatWasDeniedIsSaidAtTheEnd(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "for name in a.example b.example; do wget -q http://$name/; done; echo done", "egress: {allow: [c.example]}")
		r := u.Start(runtime).Want(t, 0)
		// The names are told side by side.
		said := strings.Replace(r.Stderr, "b.example, a.example;", "a.example, b.example;", 1)
		bottletest.Contains(t, said, "claude-bottle: denied: a.example, b.example; to allow it, add it to egress.allow in "+u.Home)
		if r.Stdout != "done\n" {
			t.Errorf("stdout is %q", r.Stdout)
		}
		if r := u.Start(runtime, "--quiet").Want(t, 0); strings.Contains(r.Stderr, "denied") {
			t.Errorf("it is quiet, and says:\n%s", r.Stderr)
		}
		does(u, "true")
		if r := u.Start(runtime).Want(t, 0); strings.Contains(r.Stderr, "denied") {
			t.Errorf("nothing was denied, and it says:\n%s", r.Stderr)
		}
	})
}
