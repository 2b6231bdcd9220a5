package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// outsideWait bounds a connection that has to fail at once.
const outsideWait = 5 * time.Second

// tryPastNeck connects to where the neck does not lead, and returns what waits for
// the outcome. It needs no neck, so it is done while that opens.
func tryPastNeck(ctx context.Context) (outcome func() error) {
	group, ctx := errgroup.WithContext(ctx)
	// Addresses of documentation: no loopback interface leads to them.
	for _, outside := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} {
		group.Go(func() error { return tryOutside(ctx, outside) })
	}
	return group.Wait
}

// fence tries, for the host to see, what must be closed and what must be open,
// before anything else runs here.
func (b *bottle) fence(ctx context.Context, tries neck.FenceRequest) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(b.pastNeck)
	group.Go(func() error { return b.tryDenied(ctx, tries.Denied) })
	group.Go(func() error { return b.tryOpen(ctx, tries) })
	return group.Wait()
}

// tryOutside connects past the neck, which must fail, and at once: there is no
// network to wait for.
func tryOutside(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: outsideWait}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s can be reached past the neck", address)
	}
	var network net.Error
	if ctx.Err() == nil && errors.As(err, &network) && network.Timeout() {
		return fmt.Errorf("there is a network besides the neck: %w", err)
	}
	return nil
}

// tryDenied asks the host for what it must refuse.
func (b *bottle) tryDenied(ctx context.Context, name string) error {
	stream, err := b.guest.Open(ctx, neck.Request{Kind: neck.KindDial, Host: name, Port: 443})
	if err == nil {
		_ = stream.Close()
		return fmt.Errorf("%s was connected, which no rule allows", name)
	}
	if !errdefs.IsPermissionDenied(err) {
		return fmt.Errorf("%s was not refused by a rule: %w", name, err)
	}
	return nil
}

// tryOpen asks for an answer the way that programs do.
func (b *bottle) tryOpen(ctx context.Context, tries neck.FenceRequest) error {
	address, ok := b.names.lookup(tries.Open)
	if !ok {
		return fmt.Errorf("%s has no address", tries.Open)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", netip.AddrPortFrom(address, tries.Port).String())
	if err != nil {
		return fmt.Errorf("reach %s: %w", tries.Open, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", tries.Path, tries.Open); err != nil {
		return fmt.Errorf("ask %s: %w", tries.Open, err)
	}
	answer := make([]byte, len("HTTP/1.1 "))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("%s does not answer: %w", tries.Open, err)
	}
	if string(answer) != "HTTP/1.1 " {
		return fmt.Errorf("%s answers %q", tries.Open, answer)
	}
	return nil
}
