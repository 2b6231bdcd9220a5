package supervise

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/containerd/errdefs"
)

// Connect returns a client of the supervisor whose bottle has this run
// directory. The bottle does not depend on it. The caller closes the client.
func Connect(ctx context.Context, run string) (*Client, error) {
	// A path longer than sun_path is reached through its directory.
	dir, err := os.Open(run)
	if err != nil {
		return nil, fmt.Errorf("reach supervisor: %w: %w", err, errdefs.ErrUnavailable)
	}
	defer func() { _ = dir.Close() }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), ControlSocket))
	if err != nil {
		return nil, fmt.Errorf("reach supervisor: %w: %w", err, errdefs.ErrUnavailable)
	}
	client, err := newClient(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return client, nil
}
