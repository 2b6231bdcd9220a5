package backend

import (
	"context"
	"net"
	"time"
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

// Watcher is a Backend that tells when something may have become of a bottle.
type Watcher interface {
	// Watch sends the name of a bottle when something may have happened to it. Some of
	// it may be missed: who listens looks at all of them from time to time. The channel
	// is closed when ctx has ended, or the daemon can't be listened to any more.
	Watch(ctx context.Context) (<-chan string, error)
}

// Reconciler is a Backend that leads what became of a bottle to what was wished for it.
type Reconciler interface {
	// Reconcile does what there is to do for the bottle of that name, or for the kept
	// one with that handle: it starts a supervisor that died again, takes down what
	// nobody holds, and removes what has outlived its time. There need not be such a
	// bottle. It asks to be called again after that time; 0 is no wish. One caller at a
	// time may have a name.
	Reconcile(ctx context.Context, name string) (again time.Duration, err error)
}

// Declarer is a Backend whose bottles' declarations can be changed.
type Declarer interface {
	// Declare replaces the declaration of a bottle or a kept one by one of the next
	// generation; when another was quicker it is a Conflict error. What its supervisor
	// goes by already stays as it was; a TTL holds at once.
	Declare(ctx context.Context, name string, declaration Declaration) error
}

// Historian is a Backend that knows what has happened to a bottle.
type Historian interface {
	// Events are what is known, the oldest first.
	Events(ctx context.Context, name string) ([]Event, error)
}

// Leader is a Backend whose bottles one controller watches over at a time.
type Leader interface {
	// Lead keeps other controllers off until release is called, or this process ends.
	// Where another one is at work, that is an Unavailable error.
	Lead() (release func(), err error)
	// Led says whether a controller is at work.
	Led() (bool, error)
	// ControllerFile is where files of the controller lie, by what they end in: "sock",
	// "log". The directory is root's alone, or closed to others.
	ControllerFile(kind string) string
}
