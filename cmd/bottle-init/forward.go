package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// forward connects the stream to a port of the loopback.
func forward(ctx context.Context, port uint16, stream neck.Stream) {
	if port == 0 {
		_ = stream.Refuse(fmt.Errorf("port 0 is none: %w", errdefs.ErrInvalidArgument))
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("nothing listens on port %d of the bottle's loopback: %w", port, errdefs.ErrUnavailable)
		}
		_ = stream.Refuse(err)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if stream.Accept() != nil {
		_ = conn.Close()
		return
	}
	neck.Splice(stream, conn)
}
