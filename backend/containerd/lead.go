package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var _ backend.Leader = (*Backend)(nil)

// Lead implements backend.Leader by a lock in the run directory of the daemon and its
// namespace: the kernel lets go of it when the process ends, however it does.
func (b *Backend) Lead() (release func(), err error) {
	lock, err := acquire(b.layout.controllerFile("lock"), false)
	if errdefs.IsUnavailable(err) {
		return nil, fmt.Errorf("another controller watches over these bottles: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return lock.release, nil
}

// Led implements backend.Leader.
func (b *Backend) Led() (bool, error) { return held(b.layout.controllerFile("lock")) }

// ControllerFile implements backend.Leader.
func (b *Backend) ControllerFile(kind string) string { return b.layout.controllerFile(kind) }

// itemSocket is the kind of what a controller has left that was killed.
const itemSocket = "socket"

// planController adds it to the plan.
func (b *Backend) planController(plan *backend.CleanupPlan) error {
	path := b.layout.controllerFile("sock")
	there, err := exists(path)
	if err != nil || !there {
		return err
	}
	if led, err := b.Led(); err != nil || led {
		return err
	}
	plan.Items = append(plan.Items, backend.CleanupItem{Bottle: "controller", Kind: itemSocket, Target: path, Reason: "no process serves it any more"})
	return nil
}

// dropController removes it, unless another controller has come: it is that one's.
func (b *Backend) dropController() error {
	release, err := b.Lead()
	if errdefs.IsUnavailable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	if err := os.Remove(b.layout.controllerFile("sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove socket of a controller: %w", err)
	}
	return nil
}

func (l layout) controllerFile(kind string) string {
	return filepath.Join(l.runRoot, "controller."+kind)
}
