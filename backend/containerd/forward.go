package containerd

import (
	"context"
	"fmt"
	"net"
)

// Forward implements backend.Live.
func (l *live) Forward(ctx context.Context, port uint16) (net.Conn, error) {
	stream, err := l.supervisor.Forward(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("connect to port %d: %w", port, err)
	}
	return stream, nil
}
