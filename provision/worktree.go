package provision

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// gatherWorkTree looks at the working directory: what of it goes, and what stays
// on the host and why. private are directories that are the program's own.
func gatherWorkTree(ctx context.Context, spec backend.Spec, private []string) (_ *backend.WorkTree, warnings []string, err error) {
	path, err := checkWorkTree(spec.Cwd, spec.Home, private)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open working directory: %w", err)
	}
	s := newSurvey(root, path, spec)
	defer func() {
		if err != nil {
			_ = root.Close()
			s.repository.close()
		}
	}()
	if err := s.look(ctx); err != nil {
		return nil, nil, fmt.Errorf("working directory %s: %w", backend.Printable(path), err)
	}
	return backend.NewWorkTree(s.tree, root, s.repository.roots...), s.warnings, nil
}

// checkWorkTree refuses directories that hold more than a piece of work.
func checkWorkTree(path, home string, private []string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("open working directory: %w", err)
	}
	real := func(path string) string {
		if evaluated, err := filepath.EvalSymlinks(path); err == nil {
			return evaluated
		}
		return path
	}
	realHome := real(home)
	for _, own := range append([]string{filepath.Join(realHome, ".claude-bottle")}, private...) {
		switch own = real(own); {
		case resolved == "/", contains(resolved, own):
			return "", fmt.Errorf("--cwd: %s holds your home directory or claude-bottle's own files: start from the directory of a project: %w", resolved, errdefs.ErrInvalidArgument)
		case contains(own, resolved):
			return "", fmt.Errorf("--cwd: %s is claude-bottle's own: start from the directory of a project: %w", resolved, errdefs.ErrInvalidArgument)
		}
	}
	if contains(filepath.Join(realHome, ".ssh"), resolved) {
		return "", fmt.Errorf("--cwd: %s is private to the host: start from the directory of a project: %w", resolved, errdefs.ErrInvalidArgument)
	}
	return resolved, nil
}

// contains says that path is dir or lies below it.
func contains(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
