package egress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// corporate is a proxy that leads every CONNECT to one server.
type corporate struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newCorporate(t *testing.T, secure bool, target net.Addr) *corporate {
	c := &corporate{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.Host)
		c.mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpwYTpzcw==" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if strings.HasPrefix(r.Host, "shut.") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		onward, err := net.Dial("tcp", target.String())
		if err != nil {
			t.Error(err)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		// Answer and first word of the far end in one piece.
		_, _ = io.WriteString(buffered, "HTTP/1.1 200 OK\r\n\r\nbanner\n")
		_ = buffered.Flush()
		go func() { _, _ = io.Copy(onward, buffered); _ = onward.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(conn, onward)
		_, _ = onward.Close(), conn.Close()
	}))
	if secure {
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(c.Close)
	return c
}

func lookup(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := variables[name]; return value, ok }
}

func TestConnectionsGoThroughTheProxyOfTheNetwork(t *testing.T) {
	for _, secure := range []bool{false, true} {
		echo := newFar(t)
		go func() {
			conn, err := echo.listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}()
		c := newCorporate(t, secure, echo.listener.Addr())
		at := strings.Replace(c.URL, "://", "://user:pa%3Ass@", 1)
		proxy, err := NewProxy(lookup(map[string]string{"https_proxy": at, "NO_PROXY": "direct.example.com,.corp.example"}))
		if err != nil {
			t.Fatal(err)
		}
		if secure {
			proxy.tls = &tls.Config{RootCAs: x509.NewCertPool()}
			proxy.tls.RootCAs.AddCert(c.Certificate())
		}
		f := newFar(t)
		dialer := f.dialer("git.example.com:22", "direct.example.com", "shut.example.com", "evil.corp.example")
		dialer.Proxy, dialer.Resolver = proxy, &answers{list: [][]string{{"10.0.0.1"}, {"10.0.0.1"}}}
		s := open(t, dialer, time.Minute, "git.example.com", 22)
		_, _ = io.WriteString(s, "wish")
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); string(got) != "banner\nwish" {
			t.Errorf("secure %v: came back %q, %v", secure, got, err)
		}
		if err := s.ends(t); err != nil || s.event.Sent != 4 || s.event.Received != 11 {
			t.Errorf("secure %v: %v, logged %+v", secure, err, *s.event)
		}
		if _, err := dialer.Dial(t.Context(), "shut.example.com", 443); !errdefs.IsPermissionDenied(err) || strings.Contains(err.Error(), "pa") {
			t.Errorf("a refusal of the proxy's: %v", err)
		}
		if _, err := dialer.Dial(t.Context(), "evil.example.com", 443); !errdefs.IsPermissionDenied(err) {
			t.Errorf("a name that is not allowed: %v", err)
		}
		// Past the proxy our own checks of addresses hold.
		if _, err := dialer.Dial(t.Context(), "direct.example.com", 443); !errdefs.IsPermissionDenied(err) {
			t.Errorf("NO_PROXY: %v", err)
		}
		if got := strings.Join(c.asked, ", "); got != "CONNECT git.example.com:22, CONNECT shut.example.com:443" {
			t.Errorf("the proxy was asked for %s", got)
		}
		if len(f.dialled) != 0 {
			t.Errorf("dialled %v", f.dialled)
		}
	}
}

func TestT39_NamesAreCheckedBehindAProxyToo(t *testing.T) {
	f := newFar(t)
	heard := f.everything()
	c := newCorporate(t, false, f.listener.Addr())
	proxy, err := NewProxy(lookup(map[string]string{"HTTPS_PROXY": strings.Replace(c.URL, "://", "://user:pa%3Ass@", 1)}))
	if err != nil {
		t.Fatal(err)
	}
	dialer := f.dialer(dialledName)
	dialer.Proxy = proxy
	s := open(t, dialer, time.Minute, dialledName, 443)
	_, _ = s.Write(record(craft(tls.VersionTLS12, sni("evil.org"))))
	_, _ = io.Copy(io.Discard, s)
	if err := s.ends(t); !errdefs.IsPermissionDenied(err) {
		t.Errorf("got %v", err)
	}
	if got := <-heard; got != "" {
		t.Errorf("%q went on", got)
	}
}

func TestProxiesThatCanNotBeUsed(t *testing.T) {
	for _, text := range []string{"socks5://proxy:1080", "ftp://proxy", "http://", "http://user:password-canary@", "http://[::1", "://"} {
		proxy, err := NewProxy(lookup(map[string]string{"HTTPS_PROXY": text}))
		if proxy != nil || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "HTTPS_PROXY") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
	proxy, err := NewProxy(lookup(map[string]string{"HTTPS_PROXY": "user:password-canary@proxy.corp.example:3128"}))
	if err != nil {
		t.Fatal(err)
	}
	if warning := proxy.Warning(); !strings.Contains(warning, "proxy.corp.example:3128") || strings.Contains(warning, "canary") {
		t.Errorf("the plan says %q", warning)
	}
	if proxy, err := NewProxy(lookup(nil)); proxy != nil || err != nil || proxy.Warning() != "" || proxy.forHost("example.com", 443) != nil {
		t.Errorf("no proxy is %v, %v", proxy, err)
	}
}

func TestAProxyThatAnswersNonsense(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "no HTTP": "SSH-2.0\r\n\r\n", "407": "HTTP/1.1 407 X\r\n\r\n", "502": "HTTP/1.1 502 X\r\n\r\n", "endless": strings.Repeat("HTTP/1.1 200 OK\r\nA: b\r\n", 1<<14),
	} {
		f := newFar(t)
		go func() {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}()
		dialer := f.dialer(dialledName)
		proxy, err := NewProxy(lookup(map[string]string{"HTTPS_PROXY": f.listener.Addr().String()}))
		if err != nil {
			t.Fatal(err)
		}
		dialer.Proxy = proxy
		if _, err := dialer.Dial(t.Context(), dialledName, 443); !errdefs.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
