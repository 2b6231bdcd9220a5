package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
)

// Daemon is what is known of the daemon.
func (b *Backend) Daemon() runtime.Daemon { return b.client.Daemon() }

// Plugins lists the parts of the daemon.
func (b *Backend) Plugins(ctx context.Context) ([]runtime.Plugin, error) {
	return b.client.Plugins(ctx)
}

// FindImage finds an image in the daemon's own store.
func (b *Backend) FindImage(ctx context.Context, reference string) (runtime.Image, error) {
	return b.client.FindImage(ctx, reference)
}

// TryRuntime starts a sandbox on a runtime, whatever is known of it. One with known ways
// out is tried, too: what runs in it is ours. What the host demands is not asked.
func (b *Backend) TryRuntime(ctx context.Context, want backend.RuntimePolicy) (runtime.Choice, error) {
	return b.client.Choose(ctx, runtime.Policy{Want: want, AllowVulnerableRunc: true, Fresh: true, Shim: b.options.Shim})
}

// LookUpRuntime finds a runtime without starting a sandbox.
func (b *Backend) LookUpRuntime(ctx context.Context, want backend.RuntimePolicy) (runtime.Choice, error) {
	return b.client.Choose(ctx, runtime.Policy{Want: want, AllowVulnerableRunc: true, NoProbe: true, Shim: b.options.Shim})
}

// DropStaleVerdicts forgets what probes have found out about what is no more.
func (b *Backend) DropStaleVerdicts() (int, error) { return b.client.DropStaleVerdicts() }

// Servant is a process of this program that stays with bottles.
type Servant struct {
	// Serves is the name of its bottle, or "controller".
	Serves string
	PID    int
	// Executable is the program that it runs, and Same says that it is the very file
	// that Options.Executable is.
	Executable string
	Same       bool
}

// Servants are the supervisors of the bottles that run, and the controller. Those that
// can't be seen from here are left out.
func (b *Backend) Servants() ([]Servant, error) {
	ids, err := b.layout.ids()
	if err != nil {
		return nil, err
	}
	ours, err := os.Stat(b.options.Executable)
	if err != nil {
		return nil, fmt.Errorf("look at this program: %w", err)
	}
	var list []Servant
	add := func(serves, socket string) {
		pid := runtime.ListenerPID(socket)
		if pid == 0 {
			return
		}
		link := fmt.Sprintf("/proc/%d/exe", pid)
		path, err := os.Readlink(link)
		running, statErr := os.Stat(link) // the file itself, also when its name is gone
		if err == nil && statErr == nil {
			list = append(list, Servant{Serves: serves, PID: pid, Executable: path, Same: os.SameFile(ours, running)})
		}
	}
	for _, id := range ids {
		add(id.Name, filepath.Join(b.layout.bottle(id).run, supervise.ControlSocket))
	}
	add("controller", b.layout.controllerFile("sock"))
	return list, nil
}

// Directory is one of those that all bottles of a daemon share.
type Directory struct {
	Path    string
	Missing bool
	// Refused says why New does not use it; nil when it does, or would make it.
	Refused error
	open    bool // to be closed, and root's own
}

// Directories looks at them, and makes none.
func Directories(options Options) []Directory {
	options = options.withDefaults()
	list := []Directory{}
	for _, path := range newLayout(options.Root, options.RunRoot, options.Address, options.Namespace).shared() {
		directory := Directory{Path: path}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			directory.Missing = true
		case err != nil:
			directory.Refused = fmt.Errorf("check state directory: %w", err)
		default:
			directory.Refused = checkOwned(path, info)
			info = withoutWrite(info)
			directory.open = directory.Refused != nil && checkOwned(path, info) == nil
		}
		list = append(list, directory)
	}
	return list
}

// MendDirectories closes to others those of root's that others can write to, and makes
// those that are missing. It says what it has done.
func MendDirectories(options Options) ([]string, error) {
	options = options.withDefaults()
	var closed, made []string
	for _, directory := range Directories(options) {
		switch {
		case directory.Missing:
			made = append(made, "made "+directory.Path)
		case directory.open:
			info, err := os.Lstat(directory.Path)
			if err != nil {
				return closed, fmt.Errorf("check state directory: %w", err)
			}
			mode := withoutWrite(info).Mode().Perm()
			if err := os.Chmod(directory.Path, mode); err != nil {
				return closed, fmt.Errorf("close state directory: %w", err)
			}
			closed = append(closed, fmt.Sprintf("closed %s to others (mode %04o)", directory.Path, mode))
		}
	}
	if err := newLayout(options.Root, options.RunRoot, options.Address, options.Namespace).make(); err != nil {
		return closed, err
	}
	return slices.Concat(closed, made), nil
}

// ownersOnly is a file as it would be if only its owner could write to it.
type ownersOnly struct{ fs.FileInfo }

// Mode implements fs.FileInfo.
func (o ownersOnly) Mode() fs.FileMode { return o.FileInfo.Mode() &^ 0o022 }

func withoutWrite(info fs.FileInfo) fs.FileInfo { return ownersOnly{info} }
