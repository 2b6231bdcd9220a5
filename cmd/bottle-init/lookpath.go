package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// lookPath finds a command as a shell with that environment would.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return executable(name, dir)
	}
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	var denied error
	for _, candidate := range filepath.SplitList(path) {
		found, err := executable(filepath.Join(candidate, name), dir)
		if err == nil {
			return found, nil
		}
		if errdefs.IsPermissionDenied(err) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s is not on the PATH %s: %w", name, path, errdefs.ErrNotFound)
}

func executable(path, dir string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s can't be reached: %w", path, errdefs.ErrPermissionDenied)
	case err != nil:
		return "", fmt.Errorf("%s is not there: %w", path, errdefs.ErrNotFound)
	case info.IsDir() || unix.Access(path, unix.X_OK) != nil:
		return "", fmt.Errorf("%s is not executable: %w", path, errdefs.ErrPermissionDenied)
	default:
		return path, nil
	}
}
