package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// broken is a resolver that fails.
type broken struct{ err error }

func (b broken) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, b.err
}

// refuser is a proxy that answers every question with the line.
func refuser(t *testing.T, line string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", line)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	proxy, err := NewProxy(func(name string) (string, bool) { return "http://" + listener.Addr().String(), name == "HTTPS_PROXY" })
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

func TestF31_ARefusalTellsTheBottleNothingOfTheNetwork(t *testing.T) {
	resolves := func(address string) Resolver { return &answers{list: [][]string{{address}, {address}}} }
	connects := func(err error) func(context.Context, netip.AddrPort) (net.Conn, error) {
		return func(_ context.Context, address netip.AddrPort) (net.Conn, error) {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
	}
	for name, test := range map[string]struct {
		resolver Resolver
		connect  func(context.Context, netip.AddrPort) (net.Conn, error)
		proxy    string
		want     string // what the bottle hears
		secret   string // what only the host does
	}{
		"no such host":       {broken{&net.DNSError{Err: "no such host", Server: "10.7.7.53:53", IsNotFound: true}}, nil, "", "there is no such host", "10.7.7.53"},
		"a slow resolver":    {broken{fmt.Errorf("ask 10.7.7.53: %w", context.DeadlineExceeded)}, nil, "", "no answer in time", "10.7.7.53"},
		"a silent resolver":  {broken{&net.DNSError{Err: "read udp 10.7.7.9:47->10.7.7.53:53: i/o timeout", IsTimeout: true}}, nil, "", "resolver does not answer", "10.7.7.53"},
		"a broken resolver":  {broken{errors.New("10.7.7.53 is on fire")}, nil, "", "resolver fails", "10.7.7.53"},
		"private":            {resolves("10.7.7.1"), nil, "", "api.example.com resolves to a private address", "10.7.7.1"},
		"refused":            {resolves("8.8.8.8"), connects(syscall.ECONNREFUSED), "", "connect to api.example.com: connection refused", "8.8.8.8"},
		"silent":             {resolves("8.8.8.8"), connects(context.DeadlineExceeded), "", "no answer in time", "8.8.8.8"},
		"no route":           {resolves("8.8.8.8"), connects(syscall.EHOSTUNREACH), "", "no route to host", "8.8.8.8"},
		"something else":     {resolves("8.8.8.8"), connects(errors.New("odd")), "", "it can't be reached", "8.8.8.8"},
		"a proxy that won't": {resolves("8.8.8.8"), nil, "403 Forbidden", "proxy of this host's network refuses api.example.com", "127.0.0.1"},
		"a proxy that can't": {resolves("8.8.8.8"), nil, "502 Bad Gateway", "proxy of this host's network can't reach api.example.com", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, port := range []uint16{80, 443} {
				d := &Dialer{Policy: policy(t, dialledName), Resolver: test.resolver, Connect: test.connect, Own: noOwn}
				if test.proxy != "" {
					d.Proxy = refuser(t, test.proxy)
				}
				s := open(t, d, time.Minute, dialledName, port)
				heard := ""
				if port == 80 {
					_, _ = io.WriteString(s, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
					answer, _ := io.ReadAll(s)
					heard = string(answer)
				}
				_ = s.Close()
				err := s.ends(t)
				if port == 443 {
					heard = fmt.Sprint(s.stream.refused)
					if errdefs.IsPermissionDenied(err) != errdefs.IsPermissionDenied(s.stream.refused) {
						t.Errorf("the bottle hears %v, the host %v", s.stream.refused, err)
					}
				}
				if !strings.Contains(heard, test.want) || strings.Contains(heard, test.secret) {
					t.Errorf("port %d: the bottle hears %q", port, heard)
				}
				if !strings.Contains(s.event.Reason, test.secret) {
					t.Errorf("port %d: the log has %q", port, s.event.Reason)
				}
			}
		})
	}
}
