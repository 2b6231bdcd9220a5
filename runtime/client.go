package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
)

// DefaultTimeout bounds a call to the daemon that does nothing long.
const DefaultTimeout = 10 * time.Second

// snapshotter is the one that every daemon of the versions that we support has.
const snapshotter = "overlayfs"

// Options say how to reach a daemon.
type Options struct {
	Address   string // absolute path of the socket
	Namespace string
	// Lender is another namespace whose images may be used, too: what it has of a name
	// is what is meant. "" is none.
	Lender string
	// Timeout bounds each call; 0 is DefaultTimeout.
	Timeout time.Duration
	// Root is a directory of root's own: verdicts of probes are kept there.
	Root string
	// InitPath is the bottle-init binary, which is what a probe runs.
	InitPath string
	// RuntimeRoot is where runc and runsc keep their state.
	RuntimeRoot string
	// Libexec is a directory that runtimes are looked for in, before the
	// daemon's PATH.
	Libexec string
	// Registries say how images are asked for.
	Registries Registries
}

// Daemon is what is known of the daemon.
type Daemon struct {
	Address      string
	Version      string
	Major, Minor int
	// UserNamespaces says that snapshots are mapped without a copy (2.0).
	UserNamespaces bool
	// SharesPIDs says that the daemon can open our /proc/PID/fd.
	SharesPIDs bool
	// PID is the daemon's process, or 0 when it can't be seen.
	PID int
}

// Client is a connection to one daemon. Its methods may be called from several
// goroutines; each is bounded.
type Client struct {
	options Options
	client  *client.Client
	daemon  Daemon
}

// Connect checks the socket, connects, and asks for the version. The caller
// closes the client.
func Connect(ctx context.Context, options Options) (*Client, error) {
	if options.Timeout == 0 {
		options.Timeout = DefaultTimeout
	}
	if err := checkSocket(options.Address); err != nil {
		return nil, err
	}
	if err := dialable(options.Address, options.Timeout); err != nil {
		return nil, err
	}
	connected, err := client.New(options.Address, client.WithDefaultNamespace(options.Namespace), client.WithTimeout(options.Timeout))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd socket %s: %w", options.Address, err)
	}
	c := &Client{options: options, client: connected}
	if err := c.identify(ctx); err != nil {
		return nil, errors.Join(err, connected.Close())
	}
	return c, nil
}

func (c *Client) identify(ctx context.Context) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	version, err := c.client.Version(ctx)
	if err != nil {
		return c.failed(ctx, "ask containerd for its version", err)
	}
	pid := ListenerPID(c.options.Address)
	c.daemon = Daemon{Address: c.options.Address, Version: version.Version, PID: pid, SharesPIDs: sharesPIDs(pid)}
	parts := strings.SplitN(strings.TrimPrefix(version.Version, "v"), ".", 3)
	if len(parts) >= 2 {
		c.daemon.Major, _ = strconv.Atoi(parts[0])
		c.daemon.Minor, _ = strconv.Atoi(parts[1])
	}
	if c.daemon.Major == 0 {
		return fmt.Errorf("containerd at %s says that its version is %q: 1.6 or newer is needed: %w", c.options.Address, version.Version, errdefs.ErrFailedPrecondition)
	}
	if c.daemon.Major == 1 && c.daemon.Minor < 6 {
		return fmt.Errorf("containerd at %s is %s: 1.6 or newer is needed: %w", c.options.Address, version.Version, errdefs.ErrFailedPrecondition)
	}
	c.daemon.UserNamespaces = c.daemon.Major >= 2
	return nil
}

// Daemon is what is known of the daemon.
func (c *Client) Daemon() Daemon { return c.daemon }

// Close ends the connection.
func (c *Client) Close() error { return c.client.Close() }

// bounded is ctx with the namespace and the bound of one call.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.boundedBy(ctx, c.options.Timeout)
}

func (c *Client) boundedBy(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(namespaces.WithNamespace(ctx, c.options.Namespace), bound,
		fmt.Errorf("containerd at %s did not answer within %s: %w", c.options.Address, bound, context.DeadlineExceeded))
}

// failed names the call, and the daemon when it is the daemon's silence.
func (c *Client) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	if native := errgrpc.ToNative(err); errdefs.IsUnavailable(native) {
		return fmt.Errorf("%s: containerd at %s did not answer: %w", doing, c.options.Address, native)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unbounded is ctx with the namespace, for calls that wait for an event.
func (c *Client) unbounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(namespaces.WithNamespace(ctx, c.options.Namespace))
}
