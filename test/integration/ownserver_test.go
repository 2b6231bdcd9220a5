package integration

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// toOwn allows this machine by its name, on ports as egress.allow takes them.
func toOwn(name, address string, entries ...string) string {
	for i, entry := range entries {
		entries[i] = strconv.Quote(entry)
	}
	return fmt.Sprintf("egress: {allow: [%s], private: [{host: %s, range: %s/32}]}", strings.Join(entries, ", "), name, address)
}

// listen waits for an address of this machine that somebody else may hold.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var listener net.Listener
	bottletest.Eventually(t, address+" is free", func() bool {
		var err error
		listener, err = net.Listen("tcp", address)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		return err == nil
	})
	return listener
}

// web serves until the test ends: HTTPS, HTTP/2 too, when there is a certificate.
func web(t *testing.T, address string, handler http.Handler, certificate *tls.Certificate) net.Addr {
	t.Helper()
	listener := listen(t, address)
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	s.Listener = listener
	if certificate == nil {
		s.Start()
	} else {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return listener.Addr()
}
