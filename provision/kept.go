package provision

import (
	"fmt"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// OpenKept opens the directory on the host that a path of a kept bottle lies in, and returns
// the path below it: with a slash at its end, if it had one. The caller closes the root.
func OpenKept(work *backend.Work, path string) (*os.Root, string, error) {
	place, below, err := PlaceOf(path)
	if err != nil {
		return nil, "", fmt.Errorf("%w; all else of %s went with its sandbox", err, work.Handle())
	}
	if place == backend.PlaceSSH {
		return nil, "", fmt.Errorf("%s went with the sandbox of %s: %w", path, work.Handle(), errdefs.ErrNotFound)
	}
	root, err := os.OpenRoot(work.Place(place))
	if err != nil {
		return nil, "", fmt.Errorf("open what is kept: %w", err)
	}
	if below == "" {
		below = "."
	}
	if strings.HasSuffix(path, "/") {
		below += "/"
	}
	return root, below, nil
}
