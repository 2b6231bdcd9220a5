package containerdtest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// debugAddress is where the daemon answers questions about itself.
func (d *Daemon) debugAddress() string { return d.Address + ".debug" }

// Goroutines is how many the daemon has.
func (d *Daemon) Goroutines(t testing.TB) int {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.debugAddress())
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://containerd/debug/pprof/goroutine?debug=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("ask containerd for its goroutines: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	var count int
	if _, err := fmt.Fscanf(response.Body, "goroutine profile: total %d", &count); err != nil {
		t.Fatalf("ask containerd for its goroutines: status %s, %v", response.Status, err)
	}
	return count
}
