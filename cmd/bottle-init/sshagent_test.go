package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
)

func TestTheAgentsSocketIsCarriedToTheHost(t *testing.T) {
	near, far := net.Pipe()
	host, err := neck.Server(far)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := neck.Client(near)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- host.Serve(t.Context(), neck.Bounds{Streams: 8, Request: 4096}, func(_ context.Context, request neck.Request, stream neck.Stream) {
			if request.Kind != neck.KindSSHAgent || request.Host != "" || request.Port != 0 {
				t.Errorf("asked for is %+v", request)
			}
			_ = stream.Accept()
			_, _ = io.Copy(stream, stream)
			_ = stream.Close()
		})
	}()
	agent := newSSHAgent(func(request neck.Request) (neck.Stream, error) { return guest.Open(t.Context(), request) })
	path := filepath.Join(t.TempDir(), "agent.sock")
	// The agent runs as the same user and may have put something there.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the table comes anew with each neck
		if err := agent.set(path); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("wish"))
		_ = conn.(*net.UnixConn).CloseWrite()
		if answer, err := io.ReadAll(conn); err != nil || string(answer) != "wish" {
			t.Errorf("the answer is %q, %v", answer, err)
		}
		_ = conn.Close()
	}
	if err := agent.set(""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	agent.close()
	_ = guest.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestAnAgentThatTheHostRefusesEndsTheConnection(t *testing.T) {
	host := &asked{}
	agent := newSSHAgent(host.open)
	defer agent.close()
	path := filepath.Join(t.TempDir(), "agent.sock")
	if err := agent.set(path); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	if got := host.all(); len(got) != 1 || got[0].Kind != neck.KindSSHAgent {
		t.Errorf("asked was %+v", got)
	}
	if err := agent.set(filepath.Join(t.TempDir(), "nowhere", "agent.sock")); err == nil {
		t.Error("a path that can't be was taken")
	}
}
