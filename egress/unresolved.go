package egress

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containerd/errdefs"
)

// unresolved says why a name has no address. The bottle hears it, so it does
// not say what the resolver's own words do: where in the host's network it is.
func unresolved(name string, err error) error {
	reason := "this host's resolver fails"
	var failure *net.DNSError
	switch {
	case errors.As(err, &failure) && failure.IsNotFound:
		reason = "there is no such host"
	case errors.As(err, &failure) && failure.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		reason = "this host's resolver does not answer"
	}
	return fmt.Errorf("resolve %s: %s: %w", name, reason, errdefs.ErrUnavailable)
}
