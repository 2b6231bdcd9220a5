package manifest

import (
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/devcontainer"
)

// devcontainer reads the devcontainer.json of a chain of bottles that extend each other, if
// the first one that says what the image is names one. Of the others nothing is taken.
func (l *loader) devcontainer(chain []backend.BottleFile) error {
	for i := range chain {
		bottle := &chain[i]
		if bottle.Devcontainer == nil && (bottle.Image != "" || bottle.MakesImage()) {
			return nil
		}
		if bottle.Devcontainer == nil {
			continue
		}
		read, err := devcontainer.Read(bottle.Devcontainer.File, devcontainer.Options{Refuses: l.options.RefuseVariable})
		if err != nil {
			return fmt.Errorf("bottle %s: %w", bottle.Name, err)
		}
		l.files = append(l.files, describe(KindDevcontainer, read.Path, read.Data))
		bottle.Image, bottle.Dockerfile, bottle.Devcontainer = read.Image, read.Dockerfile, &read.Devcontainer
		return nil
	}
	return nil
}
