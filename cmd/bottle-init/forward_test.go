package main

import (
	"io"
	"net"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

func TestAPortOfTheLoopbackIsReached(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn) // to the end of what comes
			_ = conn.Close()
		}
		served <- err
	}()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	link := asks(t)
	stream, err := link.Open(t.Context(), neck.Request{Kind: neck.KindForward, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stream, "hello"); err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseWrite()
	if said, err := io.ReadAll(stream); err != nil || string(said) != "hello" {
		t.Errorf("it said %q, %v", said, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	_ = listener.Close()
	if _, err := link.Open(t.Context(), neck.Request{Kind: neck.KindForward, Port: port}); !errdefs.IsUnavailable(err) {
		t.Errorf("where nobody listens: %v", err)
	}
	if _, err := link.Open(t.Context(), neck.Request{Kind: neck.KindForward}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("port 0: %v", err)
	}
}
