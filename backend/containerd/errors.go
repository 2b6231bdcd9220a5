package containerd

import (
	"fmt"

	"github.com/containerd/errdefs"
)

var errNotRoot = fmt.Errorf("claude-bottle needs root to reach containerd and to make namespaces: run it with sudo: %w", errdefs.ErrPermissionDenied)

func errNameInUse(name string) error {
	return fmt.Errorf("bottle %s is running already: choose another name with --name, or end it first: %w", name, errdefs.ErrAlreadyExists)
}
