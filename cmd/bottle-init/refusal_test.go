package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

func TestARefusalIsSaidInTLS(t *testing.T) {
	for name, test := range map[string]struct {
		port   uint16
		reason error
		told   bool
	}{
		"refused":     {443, fmt.Errorf("private: %w", errdefs.ErrPermissionDenied), true},
		"unreachable": {443, fmt.Errorf("down: %w", errdefs.ErrUnavailable), false},
		"not TLS":     {22, fmt.Errorf("private: %w", errdefs.ErrPermissionDenied), false},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if conn, err := listener.Accept(); err == nil {
					refuse(conn, test.port, test.reason)
				}
			}()
			_, err = tls.Dial("tcp", listener.Addr().String(), &tls.Config{ServerName: "example.com"})
			var alert tls.AlertError
			told := err != nil && (errors.As(err, &alert) || strings.Contains(err.Error(), "access denied"))
			if told != test.told || !told && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the client is told %v", err)
			}
			_ = listener.Close()
			<-done
		})
	}
}
