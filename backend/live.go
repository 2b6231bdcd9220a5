package backend

import (
	"context"
	"net"
	"time"
)

// Opener is a Backend whose bottles can be reached by clients that did not launch
// them.
type Opener interface {
	// Open reaches a bottle that runs. A detached one whose supervisor has died gets
	// a new one first. No such bottle is a NotFound error, one that has finished a
	// FailedPrecondition error. The caller closes it.
	Open(ctx context.Context, name string) (Live, error)
	// Halt ends claude, with grace between TERM and KILL, and takes the bottle down to
	// its state and its record: it has finished then. One that has finished already
	// is no error.
	Halt(ctx context.Context, name string, grace time.Duration) error
	// SetLife changes what may change of a wish while a bottle lives: labels,
	// annotations, restart policy and times.
	SetLife(ctx context.Context, name string, life Life) error
}

// Live is a bottle that runs, held by its supervisor and reached by a client.
type Live interface {
	// Attach shows claude's screen as it is, then carries its session until claude or
	// ctx ends: the end of ctx leaves claude as it is. The code and the error are as
	// ExecClaude's; a supervisor that dies meanwhile is started again, and the session
	// goes on without a gap.
	Attach(ctx context.Context, options AttachOptions, terminal Terminal) (exitCode int, err error)
	// Forward connects to a TCP port of the loopback inside. The caller closes it.
	Forward(ctx context.Context, port uint16) (net.Conn, error)
	// Processes lists what runs inside, by the bottle's own word.
	Processes(ctx context.Context) ([]Process, error)
	Close() error
}

// AttachOptions say what a client of a session may do.
type AttachOptions struct {
	// ReadOnly takes no input, sizes or signals from this client.
	ReadOnly bool
}

// Process is one process of a bottle, as the bottle tells it.
type Process struct {
	PID     int           `json:"pid"`
	Parent  int           `json:"ppid"`
	State   string        `json:"state"`
	CPU     time.Duration `json:"cpuNanoseconds"`
	Memory  int64         `json:"memoryBytes"` // resident
	Command string        `json:"command"`
}

// Detacher is a Bottle that can live on without the process that has launched it.
type Detacher interface {
	// Begin starts claude, on a terminal of its own with tty, and doesn't wait for it.
	Begin(ctx context.Context, argv []string, tty bool) error
	// Detach leaves the bottle to its supervisor. Close does nothing after that.
	Detach(ctx context.Context) error
}
