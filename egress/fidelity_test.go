package egress

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawSite answers each connection with the text as it is, and records the heads
// that it was sent.
func rawSite(t testing.TB, answer string) (*far, chan string) {
	t.Helper()
	f, heads := newFar(t), make(chan string, 100)
	go func() {
		for {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				reader := bufio.NewReader(conn)
				head := ""
				for !strings.HasSuffix(head, "\r\n\r\n") {
					line, err := reader.ReadString('\n')
					if err != nil {
						return
					}
					head += line
				}
				heads <- head
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return f, heads
}

func TestPathsArriveAsToolsWroteThem(t *testing.T) {
	for _, path := range []string{
		"/", "//", "/a//b/", "/a/./b/../c", "/@scope%2fname", "/@scope%2Fname", "/%2e%2e/x", "/pool/g/g++_4%3a12.2~rc1+b1.deb", "/a;b=1/c", "/a:b@c", "/?", "/?a=b&a=c;d", "/?q=%zz", "/?a[]=1|2",
		"/a'b(c)*!$,=", "/%E2%9C%93", "/%00", "/a%20b", "/a[1]",
	} {
		f, heads := rawSite(t, "HTTP/1.1 204 No Content\r\n\r\n")
		s := open(t, f.dialer(dialledName), time.Minute, dialledName, 80)
		_, _ = fmt.Fprintf(s, "GET %s HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n", path)
		answer, _ := io.ReadAll(s)
		_ = s.Close()
		_ = s.ends(t)
		select {
		case head := <-heads:
			if got := strings.Fields(head)[1]; got != path {
				t.Errorf("%s arrived as %s", path, got)
			}
		default:
			t.Errorf("%s did not arrive: %q", path, answer)
		}
	}
}

func TestAnswersArriveAsServersGaveThem(t *testing.T) {
	for name, test := range map[string]struct{ answer, body, fails string }{
		"HTTP/1.0, to the end": {"HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3\r\nContent-Type: text/html\r\n\r\n<a>lamp</a>", "<a>lamp</a>", ""},
		"HTTP/1.0, by length":  {"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nlamp", "lamp", ""},
		"by length":            {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlamp", "lamp", ""},
		"by chunks":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nla\r\n2\r\nmp\r\n0\r\n\r\n", "lamp", ""},
		"hints first":          {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlamp", "lamp", ""},
		"cut off":              {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nlamp", "lamp", "unexpected EOF"},
		"chunks cut off":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlamp\r\n", "lamp", "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := rawSite(t, test.answer)
			s := open(t, f.dialer(dialledName), time.Minute, dialledName, 80)
			_, _ = io.WriteString(s, "GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
			reader, hints := bufio.NewReader(s), 0
			response, err := http.ReadResponse(reader, nil)
			for ; err == nil && response.StatusCode < 200; hints++ {
				response, err = http.ReadResponse(reader, nil)
			}
			if err != nil || (hints > 0) != strings.Contains(test.answer, " 103 ") {
				t.Fatalf("after %d hints: %v", hints, err)
			}
			body, err := io.ReadAll(response.Body)
			if string(body) != test.body || (err == nil) != (test.fails == "") || err != nil && err.Error() != test.fails {
				t.Errorf("%d %q, %v", response.StatusCode, body, err)
			}
			_ = s.Close()
			_ = s.ends(t)
			if s.event.Rule != "api.example.com (egress.allow)" {
				t.Errorf("logged %+v", *s.event)
			}
		})
	}
}
