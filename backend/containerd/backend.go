package containerd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
)

// DefaultNamespace is the containerd namespace of all bottles.
const DefaultNamespace = "claude-bottle"

// Bounds of the long calls.
const (
	launchTimeout   = 2 * time.Minute  // after the image is there
	teardownTimeout = 60 * time.Second // one bottle, the daemon being slow
	takeoverTimeout = 15 * time.Second // a start waits so long for a bottle of its name that is going
)

// Options say where the daemon and the state are. The zero value takes the
// defaults. The supervisor gets them as JSON.
type Options struct {
	Address   string `json:"address"` // absolute path of the socket
	Namespace string `json:"namespace"`
	// Lender is another namespace whose images bottles may have, too.
	Lender  string `json:"lender,omitempty"`
	Root    string `json:"root"`
	RunRoot string `json:"runRoot"`
	// Init is the bottle-init binary, Executable the claude-bottle binary
	// that a supervisor is started from, Libexec a directory that runtimes
	// are looked for in beside the daemon's PATH. All absolute.
	Init       string `json:"init"`
	Executable string `json:"executable"`
	Libexec    string `json:"libexec,omitempty"`
	// Shim asks for another containerd shim for gVisor than the default.
	Shim string `json:"shim,omitempty"`
	// Require is what the host demands of the runtime, for bottles that no
	// bottle file is read for: helpers.
	Require  func() (backend.RuntimePolicy, error) `json:"-"`
	Progress backend.Progress                      `json:"-"`
	// Registries say how images are asked for; a supervisor asks for none.
	Registries runtime.Registries `json:"-"`
	// Notice is told what the user should read when the terminal is free.
	Notice func(string) `json:"-"`
}

// Backend runs bottles on one containerd daemon. Its methods may be called
// from several goroutines.
type Backend struct {
	options Options
	layout  layout
	client  *runtime.Client
}

var _ backend.Backend = (*Backend)(nil)

// New connects to the daemon. The caller closes the Backend.
func New(ctx context.Context, options Options) (*Backend, error) {
	options = options.withDefaults()
	if os.Geteuid() != 0 {
		return nil, errNotRoot
	}
	paths := newLayout(options.Root, options.RunRoot, options.Address, options.Namespace)
	if err := paths.make(); err != nil {
		return nil, err
	}
	client, err := runtime.Connect(ctx, runtime.Options{
		Address: options.Address, Namespace: options.Namespace, Lender: options.Lender,
		Root: paths.root, InitPath: options.Init, RuntimeRoot: paths.runtimeRoot(), Libexec: options.Libexec,
		Registries: options.Registries,
	})
	if err != nil {
		return nil, err
	}
	return &Backend{options: options, layout: paths, client: client}, nil
}

// Close lets go of the connection. Bottles go on.
func (b *Backend) Close() error { return b.client.Close() }

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.Root == "" {
		o.Root = DefaultRoot
	}
	if o.RunRoot == "" {
		o.RunRoot = DefaultRunRoot
	}
	if o.Require == nil {
		o.Require = func() (backend.RuntimePolicy, error) { return "", nil }
	}
	if o.Progress == nil {
		o.Progress = backend.NoProgress{}
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return o
}

// Detail is what the containerd backend adds to a plan.
type Detail struct {
	Address   string `json:"address"`
	Version   string `json:"version"`
	Namespace string `json:"namespace"`
	handle    runtime.Handle
	image     runtime.Image
}

// String implements fmt.Stringer.
func (d Detail) String() string {
	return fmt.Sprintf("containerd %s at %s, namespace %s", d.Version, filepath.Clean(d.Address), d.Namespace)
}
