package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"

	"github.com/claude-bottle/claude-bottle/neck"
)

// maxSSHClients is less than the host takes, so that a client is told here.
const maxSSHClients = 24

// sshAgent is the socket that stands for the SSH agent, which is outside. It
// knows no key and no message: it carries bytes.
type sshAgent struct {
	open  opener
	slots chan struct{}
	group sync.WaitGroup

	mu       sync.Mutex
	path     string
	listener *net.UnixListener
}

func newSSHAgent(open opener) *sshAgent {
	return &sshAgent{open: open, slots: make(chan struct{}, maxSSHClients)}
}

// set listens at the path that the host names; "" is no agent. The path stays
// when the neck opens anew.
func (a *sshAgent) set(path string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if path == a.path {
		return nil
	}
	a.unlisten()
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listen for SSH: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen for SSH: %w", err)
	}
	a.path, a.listener = path, listener
	a.group.Go(func() { a.accept(listener) })
	return nil
}

func (a *sshAgent) unlisten() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	a.path, a.listener = "", nil
}

func (a *sshAgent) accept(listener *net.UnixListener) {
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		select {
		case a.slots <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		a.group.Go(func() {
			defer func() { <-a.slots }()
			stream, err := a.open(neck.Request{Kind: neck.KindSSHAgent})
			if err != nil {
				_ = conn.Close()
				return
			}
			neck.Splice(conn, stream)
		})
	}
}

// close ends the listener. Connections end with the neck.
func (a *sshAgent) close() {
	a.mu.Lock()
	a.unlisten()
	a.mu.Unlock()
	a.group.Wait()
}
