package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// trying is a PID 1 that tries the fence as it is told to.
func (r *running) trying(try func(guest *neck.Guest, fence neck.FenceRequest) error) {
	r.Helper()
	guest := &neck.Guest{Dial: func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", r.config.neckSocket())
	}}
	guest.Handle = func(_ context.Context, request neck.Request, stream neck.Stream) {
		if request.Kind == neck.KindFence {
			if err := try(guest, *request.Fence); err != nil {
				_ = stream.Refuse(err)
				return
			}
		}
		_ = stream.Accept()
		_ = stream.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { guest.Run(ctx); close(ended) }()
	r.Cleanup(func() { cancel(); <-ended })
}

func TestT33_TheFenceIsProvedByWhatTheHostHasSeen(t *testing.T) {
	deny := func(guest *neck.Guest, host string) error {
		if err := asks(t, guest, neck.Request{Kind: neck.KindDial, Host: host, Port: 443}); !errdefs.IsPermissionDenied(err) {
			return fmt.Errorf("denied is %w", err)
		}
		return nil
	}
	open := func(guest *neck.Guest, fence neck.FenceRequest, path string) error {
		stream, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindDial, Host: fence.Open, Port: fence.Port})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		_, err = fmt.Fprintf(stream, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, fence.Open)
		_, _ = io.ReadAll(stream)
		return err
	}
	for _, test := range []struct {
		name string
		try  func(*neck.Guest, neck.FenceRequest) error
		want string
	}{
		{"it holds", func(guest *neck.Guest, fence neck.FenceRequest) error {
			if err := deny(guest, fence.Denied); err != nil {
				return err
			}
			return open(guest, fence, fence.Path)
		}, ""},
		{"nothing is tried", func(*neck.Guest, neck.FenceRequest) error { return nil }, "no request to the gateway arrived"},
		{"only the open way is tried", func(guest *neck.Guest, fence neck.FenceRequest) error { return open(guest, fence, fence.Path) }, "was refused here"},
		{"something else is tried", func(guest *neck.Guest, fence neck.FenceRequest) error {
			if err := deny(guest, "other.invalid"); err != nil {
				return err
			}
			return open(guest, fence, "/other")
		}, "was refused here"},
		{"it says no", func(*neck.Guest, neck.FenceRequest) error { return fmt.Errorf("a network: %w", errdefs.ErrUnavailable) }, "a network"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, func(c *Config) {
				c.Hosts = append(c.Hosts, backend.PlanHost{Host: "*", Ports: []uint16{80, 443}, Because: "egress.mode open"})
				c.Ask = &backend.PlanAsk{Ports: []uint16{443}, Timeout: "1h"} // neither opens the fence, nor holds the try
			})
			r.trying(test.try)
			proof, err := r.client.Fence(t.Context())
			data, readErr := os.ReadFile(filepath.Join(r.config.State, backend.FenceFile))
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "does not hold") || !os.IsNotExist(readErr) {
					t.Errorf("got %+v, %v; written is %q, %v", proof, err, data, readErr)
				}
				return
			}
			var written backend.Fence
			if err := json.Unmarshal(data, &written); err != nil || fmt.Sprint(written) != fmt.Sprint(proof) {
				t.Errorf("written is %q, %v", data, err)
			}
			if err != nil || len(proof.Denied) != 2 || len(proof.Allowed) != 1 {
				t.Errorf("got %+v, %v", proof, err)
			}
			report, err := r.client.Report(t.Context())
			if err != nil || len(report.Denials.Hosts) != 0 {
				t.Errorf("the try counts as denied: %+v, %v", report, err)
			}
		})
	}
}
