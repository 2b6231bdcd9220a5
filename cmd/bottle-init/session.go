package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

const (
	// quietTime is how long an output that a background child keeps open
	// has to be silent after the command has ended.
	quietTime = 100 * time.Millisecond
	// hangUpTime is what a command has between SIGHUP and SIGKILL when its
	// client is gone.
	hangUpTime = 2 * time.Second
)

// session runs a command for the stream's client: one that ends with it, or one that
// is kept.
func (b *bottle) session(ctx context.Context, request *neck.SessionRequest, stream neck.Stream) {
	defer func() { _ = stream.Close() }()
	if request == nil || len(request.Argv) == 0 {
		_ = stream.Refuse(fmt.Errorf("a session without a command: %w", errdefs.ErrInvalidArgument))
		return
	}
	if stream.Accept() != nil {
		return
	}
	client := neck.NewCommand(stream)
	if request.Keep != "" {
		b.keep(ctx, request, stream, client)
		return
	}
	running, err := b.startCommand(request, client.Stdout(), client.Stderr())
	if err != nil {
		_ = client.Fail(err)
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		running.follow(client)
	}()
	var status syscall.WaitStatus
	select {
	case status = <-running.ended:
	case <-gone:
		status = running.hangUp()
	case <-ctx.Done():
		status = running.hangUp()
	}
	running.drain()
	b.telling.settle()
	_ = client.Exit(neck.ExitStatus{Code: exitCode(status)})
	_ = stream.Close()
	// The client ends its side once it has read the exit.
	_ = stream.SetReadDeadline(time.Now().Add(hangUpTime))
	<-gone
	running.close()
}
