package backend

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// DefaultBackend is the backend that runs when CLAUDE_BOTTLE_BACKEND is unset.
const DefaultBackend = "containerd"

// Backend is one way of running bottles.
type Backend interface {
	// Prepare reads and resolves only. It is safe to call before the user
	// has said yes, and creates nothing that outlives the call.
	Prepare(ctx context.Context, spec Spec) (*Plan, error)
	// Launch brings the planned bottle up, provisioned, with claude not yet
	// started. On error everything it made is taken down again. The caller
	// owns the Bottle and closes it.
	Launch(ctx context.Context, plan *Plan, secrets Secrets) (Bottle, error)
	// PrepareCleanup lists what dead bottles left behind. It changes nothing.
	PrepareCleanup(ctx context.Context) (*CleanupPlan, error)
	// Cleanup removes just what the plan lists, and skips what has come back
	// to life since. It may be called again.
	Cleanup(ctx context.Context, plan *CleanupPlan) error
	// ListActive returns every bottle that has a record, sorted by name, and
	// the kept workspaces after them.
	ListActive(ctx context.Context) ([]Status, error)
}

// Bottle is a running bottle, held by the process that launched it.
type Bottle interface {
	// Name is the name the user knows the bottle by.
	Name() string
	// ExecClaude runs claude with the given arguments on the terminal and
	// returns its exit code. When the prompt was provisioned, the option
	// that names it is added. An error says that the code is ours: 126 for
	// a command that can't be executed, 127 for one that isn't there, 125
	// for everything else.
	ExecClaude(ctx context.Context, argv []string, terminal Terminal) (exitCode int, err error)
	// CopyIn copies a file or directory of the host to a path below
	// /workspace or the home directory of the bottle.
	CopyIn(ctx context.Context, hostPath, bottlePath string) error
	// Close takes the bottle down. It is idempotent, bounded, and works on a
	// context that is already cancelled.
	Close(ctx context.Context) error
}

// Provisioner puts what the plan names into a bottle, each thing as a tar
// stream, and returns the path of the prompt inside, or "" without one.
type Provisioner interface {
	Provision(ctx context.Context, plan *Plan, target Target) (promptPath string, err error)
}

// Target takes tar streams into places of one bottle.
type Target interface {
	// Extract unpacks the stream below the place. Owner and group of every
	// entry become the bottle's. The stream is read to its end.
	Extract(ctx context.Context, place Place, tar io.Reader) error
}

// Unsaver is a Bottle that can say what work would be lost by taking it down.
type Unsaver interface {
	Unsaved(ctx context.Context) (Unsaved, error)
}

// Place is a writable directory of a bottle that a Target can fill.
type Place string

// The places of a bottle, and where each is mounted.
const (
	PlaceWorkspace Place = "workspace" // WorkspacePath
	PlaceHome      Place = "home"      // HomePath
	PlaceClaude    Place = "claude"    // ClaudePath: settings, skills, transcripts
	PlaceSSH       Place = "ssh"       // SSHPath; memory-backed on the host
)

// Paths inside every bottle.
const (
	WorkspacePath = "/workspace"
	HomePath      = "/home/claude"
	ClaudePath    = HomePath + "/.claude"
	SSHPath       = HomePath + "/.ssh"
	NeckPath      = "/run/bottle/neck"
	InitPath      = "/run/bottle/init"
)

// Path is where the place is mounted inside the bottle, or "" for an unknown
// one.
func (p Place) Path() string {
	switch p {
	case PlaceWorkspace:
		return WorkspacePath
	case PlaceHome:
		return HomePath
	case PlaceClaude:
		return ClaudePath
	case PlaceSSH:
		return SSHPath
	default:
		return ""
	}
}

// Size is the size of a terminal in character cells.
type Size struct{ Columns, Rows uint16 }

// Terminal is where a process of the bottle reads and writes. Size and Signals
// may be nil; both are owned and closed by the sender.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	TTY      bool
	Size     <-chan Size
	Signals  <-chan os.Signal
}

// Progress hears what a long call is doing. Its methods are called from several
// goroutines.
type Progress interface {
	// Step says that a named step began; the returned function ends it.
	Step(name string) (done func(error))
	// Bytes says how far a transfer has come; total is 0 while unknown.
	Bytes(name string, done, total int64)
}

// NoProgress is a Progress that says nothing.
type NoProgress struct{}

// Step implements Progress.
func (NoProgress) Step(string) func(error) { return func(error) {} }

// Bytes implements Progress.
func (NoProgress) Bytes(string, int64, int64) {}

// Factory opens a backend.
type Factory func(ctx context.Context) (Backend, error)

// Choose picks the factory by name, or DefaultBackend for "". An unknown name
// is a NotFound error that lists the known ones.
func Choose(name string, known map[string]Factory) (Factory, error) {
	if name == "" {
		name = DefaultBackend
	}
	if factory, ok := known[name]; ok {
		return factory, nil
	}
	names := slices.Sorted(maps.Keys(known))
	return nil, fmt.Errorf("choose backend: CLAUDE_BOTTLE_BACKEND=%q is unknown, known are: %s: %w",
		name, strings.Join(names, ", "), errdefs.ErrNotFound)
}
