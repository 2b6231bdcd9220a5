package provision

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// CopyIn copies a file or directory of the host to a path inside a bottle. A
// path that ends with a slash is the directory to copy into, else it is the
// copy's own. Links inside a directory go as links.
func CopyIn(ctx context.Context, hostPath, bottlePath string, target backend.Target) error {
	if strings.HasSuffix(bottlePath, "/") {
		bottlePath += filepath.Base(hostPath)
	}
	place, below, err := PlaceOf(bottlePath)
	if err != nil {
		return fmt.Errorf("copy in: %w", err)
	}
	source, err := os.OpenFile(hostPath, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("copy in: %w", err)
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	if err != nil {
		return fmt.Errorf("copy in: %w", err)
	}
	if !info.IsDir() && below == "" {
		return fmt.Errorf("copy in: %s is a directory of the bottle: %w", bottlePath, errdefs.ErrInvalidArgument)
	}
	if info.IsDir() {
		prefix := ""
		if below != "" {
			prefix = below + "/"
		}
		err = copyTree(ctx, source, archive.PackOptions{Prefix: prefix}, target, place)
	} else {
		err = stream(ctx, func(w io.Writer) error { return archive.PackFile(w, source, below) }, target, place)
	}
	if err != nil {
		return fmt.Errorf("copy %s in: %w", hostPath, err)
	}
	return nil
}

// PlaceOf finds the place that a path of the bottle lies in, and the path below
// it: the most specific place. One that lies in none is an InvalidArgument error.
func PlaceOf(bottlePath string) (backend.Place, string, error) {
	clean := path.Clean(bottlePath)
	for _, place := range []backend.Place{backend.PlaceWorkspace, backend.PlaceSSH, backend.PlaceClaude, backend.PlaceHome} {
		if clean == place.Path() {
			return place, "", nil
		}
		if below, ok := strings.CutPrefix(clean, place.Path()+"/"); ok {
			return place, below, nil
		}
	}
	return "", "", fmt.Errorf("%s lies neither below %s nor below %s: %w", bottlePath, backend.WorkspacePath, backend.HomePath, errdefs.ErrInvalidArgument)
}
