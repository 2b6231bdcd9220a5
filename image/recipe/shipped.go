package recipe

import (
	"embed"
	"fmt"

	"github.com/containerd/errdefs"
)

// shipped are the recipes of the default image. They differ in their claude: npm has a
// package of it for each architecture.
//
//go:embed shipped/amd64.yaml shipped/arm64.yaml
var shipped embed.FS

// Default is the recipe of the default image for an architecture by Go's name, as a file
// would hold it. For others than amd64 and arm64 there is none: a NotFound error.
func Default(architecture string) ([]byte, error) {
	data, err := shipped.ReadFile("shipped/" + architecture + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no recipe for the default image ships for %s: name another image, or write a recipe: %w", architecture, errdefs.ErrNotFound)
	}
	return data, nil
}
