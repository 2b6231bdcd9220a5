package containerd

import (
	"fmt"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

var errNotRoot = fmt.Errorf("claude-bottle needs root to reach containerd and to make namespaces: run it with sudo: %w", errdefs.ErrPermissionDenied)

func errNameInUse(name string) error {
	return fmt.Errorf("bottle %s is running already: choose another name with --name, or end it first: %w", name, errdefs.ErrAlreadyExists)
}

// tail is the last lines of a log, to stand at the end of an error.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return ""
	}
	const most = 1000
	text := strings.TrimSpace(string(data[max(0, len(data)-most):]))
	return ", saying " + backend.Printable(text)
}
