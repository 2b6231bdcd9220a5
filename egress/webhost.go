package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// webHosts carries HTTP in the clear, on port 80: requests are parsed, checked
// and written anew, so that nothing of a connection reaches a host that was not
// dialled.
type webHosts struct {
	server *http.Server
	conns  *connections
	// transport holds connections to hosts, each of which was dialled for its
	// own name.
	transport *http.Transport
}

// webKey is where the connection of a request is found.
type webKey struct{}

// newWebHosts serves until close. dial connects to port 80 of a name that the
// policy allows, and decides that anew.
func newWebHosts(dial func(ctx context.Context, name string) (net.Conn, error)) *webHosts {
	w := &webHosts{conns: newConnections()}
	w.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("connect: %w", err)
			}
			return dial(ctx, name)
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        rewriteWeb,
		ModifyResponse: checkWeb,
		ErrorHandler:   webFailed,
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0),
		Transport:      w.transport,
	}
	w.server = &http.Server{
		Handler: proxy,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, webKey{}, conn)
		},
		ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHead,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = w.server.Serve(w.conns) }()
	return w
}

func (w *webHosts) close() {
	w.conns.stop()
	_ = w.server.Close()
	w.transport.CloseIdleConnections()
}

// serve carries one connection of the bottle to its end. It returns what went
// each way, in bytes, and why the connection was cut, if it was.
func (w *webHosts) serve(conn net.Conn, name string) (sent, received int64, err error) {
	web := &webConn{requests: newRequests(conn, name), closed: make(chan struct{})}
	w.conns.add(web)
	<-web.closed
	return web.sent.Load(), web.received.Load(), web.reason
}

// webConn is one connection of the bottle, counted.
type webConn struct {
	*requests
	once     sync.Once
	closed   chan struct{}
	reason   error // why it was cut; set before closed is
	failed   atomic.Pointer[error]
	received atomic.Int64
	sent     atomic.Int64
}

// Read implements io.Reader.
func (c *webConn) Read(p []byte) (int, error) {
	n, err := c.requests.Read(p)
	c.sent.Add(int64(n))
	return n, err
}

// Write implements io.Writer.
func (c *webConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.received.Add(int64(n))
	return n, err
}

// Close implements io.Closer.
func (c *webConn) Close() error {
	var err error
	c.once.Do(func() {
		c.reason = c.refused()
		if failed := c.failed.Load(); c.reason == nil && failed != nil {
			c.reason = *failed
		}
		err = c.Conn.Close()
		close(c.closed)
	})
	return err
}

// connOf is the connection that a request came over.
func connOf(r *http.Request) (*webConn, bool) {
	conn, ok := r.Context().Value(webKey{}).(*webConn)
	return conn, ok
}

// rewriteWeb makes the request one to the host that was dialled, whatever it says.
func rewriteWeb(r *httputil.ProxyRequest) {
	conn, ok := connOf(r.In)
	if !ok || !isHost(r.In.Host, conn.name) || r.In.Method == http.MethodConnect {
		r.Out.URL = &url.URL{} // has no host, so that it goes nowhere
		return
	}
	r.Out.URL.Scheme, r.Out.URL.Host = "http", net.JoinHostPort(conn.name, "80")
	r.Out.URL.User = nil
	r.Out.URL.RawQuery = r.In.URL.RawQuery // also what can't be parsed
	r.Out.Host = conn.name
	for _, name := range []string{"Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection"} {
		r.Out.Header.Del(name)
	}
	if r.In.Header.Get("User-Agent") == "" {
		r.Out.Header["User-Agent"] = nil
	}
}

// checkWeb lets no server turn the connection into something else.
func checkWeb(response *http.Response) error {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("the server switches protocols: %w", errdefs.ErrPermissionDenied)
	}
	return nil
}

func webFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if conn, ok := connOf(r); ok {
		conn.failed.Store(&err)
	}
	status := http.StatusBadGateway
	if errdefs.IsPermissionDenied(err) {
		status = http.StatusForbidden
	}
	http.Error(w, "claude-bottle: "+told(err).Error(), status)
}
