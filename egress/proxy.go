package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/net/http/httpproxy"
)

// maxProxyAnswer bounds the head of a proxy's answer, in bytes.
const maxProxyAnswer = 64 << 10

// Proxy is the way to the internet in a network that has but one, as HTTPS_PROXY
// and NO_PROXY say. Every connection of a bottle that NO_PROXY does not name goes
// through it by CONNECT, whatever its port.
type Proxy struct {
	find func(*url.URL) (*url.URL, error)
	url  *url.URL
	// tls is for a proxy that speaks TLS itself; nil trusts the system's roots.
	tls *tls.Config
}

// NewProxy reads HTTPS_PROXY and NO_PROXY, in either case of letters. It is nil
// when there is no proxy. One that is no http or https URL is an InvalidArgument
// error.
func NewProxy(lookup func(string) (string, bool)) (*Proxy, error) {
	get := func(upper string) string {
		for _, name := range []string{upper, strings.ToLower(upper)} {
			if value, ok := lookup(name); ok && value != "" {
				return value
			}
		}
		return ""
	}
	text := get("HTTPS_PROXY")
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text // as curl and Go take it
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		// The text may hold a password, so it is not shown.
		return nil, fmt.Errorf("HTTPS_PROXY is not an http or https URL: give http://HOST:PORT, or unset it: %w", errdefs.ErrInvalidArgument)
	}
	config := httpproxy.Config{HTTPSProxy: text, NoProxy: get("NO_PROXY")}
	return &Proxy{find: config.ProxyFunc(), url: parsed}, nil
}

// Warning says what a plan must tell of the proxy; "" when there is none.
func (p *Proxy) Warning() string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("HTTPS_PROXY: connections go through the proxy %s: whether a name leads to a private address is checked by that proxy, not here. Names are checked here.",
		backend.Printable(p.url.Host))
}

// forHost is the proxy for connections to that host, or nil.
func (p *Proxy) forHost(name string, port uint16) *url.URL {
	if p == nil {
		return nil
	}
	found, err := p.find(&url.URL{Scheme: "https", Host: net.JoinHostPort(name, strconv.Itoa(int(port)))})
	if err != nil {
		return p.url // never round the proxy by mistake
	}
	return found
}

// connect asks the proxy for a connection to the target, host:port.
func (p *Proxy) connect(ctx context.Context, proxy *url.URL, target string) (net.Conn, error) {
	conn, err := p.dial(ctx, proxy)
	if err != nil {
		return nil, fmt.Errorf("connect to proxy %s: %w: %w", backend.Printable(proxy.Host), err, errdefs.ErrUnavailable)
	}
	// The end of ctx breaks the question off.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	tunnel, err := ask(conn, proxy, target)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", backend.Printable(proxy.Host), err)
	}
	return tunnel, nil
}

func (p *Proxy) dial(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	address := net.JoinHostPort(proxy.Hostname(), port)
	if proxy.Scheme == "https" {
		dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}
		if p.tls != nil {
			dialer.Config = p.tls
		}
		return dialer.DialContext(ctx, "tcp", address)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

// ask sends CONNECT and reads the answer.
func ask(conn net.Conn, proxy *url.URL, target string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, fmt.Errorf("ask for %s: %w: %w", target, err, errdefs.ErrUnavailable)
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyAnswer}
	reader := bufio.NewReader(limited)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w: %w", target, err, errdefs.ErrUnavailable)
	}
	// The body of a 200 is the tunnel itself.
	switch {
	case response.StatusCode == http.StatusProxyAuthRequired:
		return nil, fmt.Errorf("%s: it wants a user and password: put them into HTTPS_PROXY: %w", target, errdefs.ErrUnavailable)
	case response.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%s: it refuses: %w", target, errdefs.ErrPermissionDenied)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: it answers %d: %w", target, response.StatusCode, errdefs.ErrUnavailable)
	}
	// What came behind the answer is the far end's first word.
	first, err := reader.Peek(reader.Buffered())
	if err != nil {
		return nil, err
	}
	return &tunnel{Conn: conn, first: first}, nil
}

// tunnel is a connection through a proxy.
type tunnel struct {
	net.Conn
	first []byte // read with the proxy's answer, not yet passed on
}

// Read implements io.Reader.
func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.first) > 0 {
		n := copy(p, t.first)
		t.first = t.first[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// CloseWrite passes the end of what the bottle says on.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Close()
}
