package main

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
)

// answering listens where the name has its address, and answers with the text.
func answering(t *testing.T, address netip.Addr, text string) (port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(address, 0).String())
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
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

func TestT33_WhatIsTriedOfTheFence(t *testing.T) {
	n, _ := newTestNames(t, neck.Name{Host: "gateway.bottle"})
	address, ok := n.lookup("gateway.bottle")
	if !ok {
		t.Fatal("no address")
	}
	b := &bottle{names: n}
	for _, test := range []struct{ host, answer, want string }{
		{"gateway.bottle", "HTTP/1.1 403 Forbidden\r\n\r\n", ""},
		{"gateway.bottle", "SSH-2.0-x\r\n", "answers \"SSH-2.0-x\""},
		{"gateway.bottle", "", "does not answer"},
		{"other.bottle", "HTTP/1.1 200 OK\r\n\r\n", "has no address"},
	} {
		err := b.tryOpen(t.Context(), neck.FenceRequest{Open: test.host, Port: answering(t, address, test.answer), Path: "/fence"})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s answers %q: %v", test.host, test.answer, err)
		}
	}
	open := netip.AddrPortFrom(localhost, answering(t, localhost, "")).String()
	if err := tryOutside(t.Context(), open); err == nil || !strings.Contains(err.Error(), "past the neck") {
		t.Errorf("an address that can be reached: %v", err)
	}
	if err := tryOutside(t.Context(), netip.AddrPortFrom(localhost, 1).String()); err != nil {
		t.Errorf("an address that refuses: %v", err)
	}
}

func TestWordsThatAreUnderWayAreWaitedFor(t *testing.T) {
	var words underway
	words.settle() // nothing: it returns
	for range 100 {
		words.begin()
		words.begin()
		words.end()
		var said atomic.Bool
		go func() {
			said.Store(true)
			words.end()
		}()
		words.settle()
		if !said.Load() {
			t.Fatal("one was still under way")
		}
	}
}
