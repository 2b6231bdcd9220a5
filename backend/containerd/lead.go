package containerd

import (
	"fmt"
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

func (l layout) controllerFile(kind string) string {
	return filepath.Join(l.runRoot, "controller."+kind)
}
