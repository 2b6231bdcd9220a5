package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
)

// hiddenError is one whose words are for the host alone: they say where in its
// network things are. A bottle may hear told, and the kind.
type hiddenError struct {
	told string
	err  error
}

// Error implements error.
func (e *hiddenError) Error() string { return e.err.Error() }

// Unwrap returns what is hidden.
func (e *hiddenError) Unwrap() error { return e.err }

// told is what a bottle may hear of an error.
func told(err error) error {
	var private *privateError
	var hidden *hiddenError
	switch {
	case errors.As(err, &private):
		return fmt.Errorf("%s resolves to %s: %w", private.name, private.reason, errdefs.ErrPermissionDenied)
	case !errors.As(err, &hidden):
		return err
	case errdefs.IsPermissionDenied(err):
		return fmt.Errorf("%s: %w", hidden.told, errdefs.ErrPermissionDenied)
	default:
		return fmt.Errorf("%s: %w", hidden.told, errdefs.ErrUnavailable)
	}
}

// unresolved says why a name has no address.
func unresolved(name string, err error) error {
	reason := cmp.Or(reasonOf(err), "this host's resolver fails")
	return &hiddenError{"resolve " + name + ": " + reason, fmt.Errorf("resolve %s: %w: %w", name, err, errdefs.ErrUnavailable)}
}

// unconnected says why an address of a name can't be connected to.
func unconnected(name string, err error) error {
	reason := cmp.Or(reasonOf(err), "it can't be reached")
	return &hiddenError{"connect to " + name + ": " + reason, fmt.Errorf("connect to %s: %w: %w", name, err, errdefs.ErrUnavailable)}
}

// reasonOf is what failed in the network, without saying where, or "" when the
// network is not what failed.
func reasonOf(err error) string {
	var lookup *net.DNSError
	var number syscall.Errno
	var operation *net.OpError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "there is no such host"
	case errors.As(err, &lookup) && lookup.IsTimeout:
		return "this host's resolver does not answer"
	case errors.As(err, &lookup):
		return "this host's resolver fails"
	case errors.As(err, &number):
		return number.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &operation):
		return "the connection fails"
	default:
		return ""
	}
}

// unproxied says what the network's proxy has against a name.
func unproxied(name string, err error) error {
	if errdefs.IsPermissionDenied(err) {
		return &hiddenError{"the proxy of this host's network refuses " + name, err}
	}
	return &hiddenError{"the proxy of this host's network can't reach " + name, err}
}
