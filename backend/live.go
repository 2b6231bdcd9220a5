package backend

import (
	"context"
	"net"
)

// Opener is a Backend whose bottles can be reached by clients that did not launch
// them.
type Opener interface {
	// Open reaches a bottle that runs. No such bottle is a NotFound error, one that has
	// ended a FailedPrecondition error. The caller closes it.
	Open(ctx context.Context, name string) (Live, error)
}

// Live is a bottle that runs, held by its supervisor and reached by a client.
type Live interface {
	// Attach shows claude's screen as it is, then carries its session until claude or
	// ctx ends: the end of ctx leaves claude as it is. The code and the error are as
	// ExecClaude's. A bottle whose claude was started on no terminal of its own, and
	// not detached, has no session to attach to: a NotFound error.
	Attach(ctx context.Context, options AttachOptions, terminal Terminal) (exitCode int, err error)
	// Forward connects to a TCP port of the loopback inside. The caller closes it.
	Forward(ctx context.Context, port uint16) (net.Conn, error)
	// Halt ends claude, and returns when the bottle has been taken down to what is kept
	// of it, or ctx has ended.
	Halt(ctx context.Context) error
	Close() error
}

// AttachOptions say where a client of a session begins, and what it may do.
type AttachOptions struct {
	// From is how many bytes of the session it has had already; negative asks for the
	// screen as it is now.
	From int64
	// ReadOnly takes no input, sizes or signals from this client.
	ReadOnly bool
}

// Detacher is a Bottle that can live on without the process that has launched it.
type Detacher interface {
	// Begin starts claude, on a terminal of its own with tty, and doesn't wait for it.
	Begin(ctx context.Context, argv []string, tty bool) error
	// Detach leaves the bottle to its supervisor. Close does nothing after that.
	Detach(ctx context.Context) error
}
