package manifest

import (
	"fmt"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/devcontainer"
	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v3"
)

// decodeDevcontainer reads an image that a devcontainer.json names. The keys beside it are
// those of a recipe that goes on from there.
func decodeDevcontainer(path string, node *yaml.Node, into *backend.BottleFile) error {
	own, rest := *node, *node
	own.Content, rest.Content = nil, nil
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		switch key.Value {
		case "devcontainer":
			own.Content = append(own.Content, node.Content[i:i+2]...)
		case "from":
			return fmt.Errorf("%s:%d: devcontainer says what the image is made from: leave from out: %w", path, key.Line, errdefs.ErrInvalidArgument)
		default:
			rest.Content = append(rest.Content, node.Content[i:i+2]...)
		}
	}
	into.Devcontainer = &backend.Devcontainer{}
	if err := decodeNode(path, &own, into.Devcontainer); err != nil {
		return err
	}
	if into.Devcontainer.File == "" {
		return fmt.Errorf("%s:%d: devcontainer names no file: %w", path, node.Line, errdefs.ErrInvalidArgument)
	}
	if len(rest.Content) == 0 {
		return nil
	}
	into.Recipe = &backend.Recipe{Directory: filepath.Dir(path)}
	return decodeNode(path, &rest, into.Recipe)
}

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
		if read.Dockerfile != nil {
			l.files = append(l.files, describe(KindDockerfile, read.Dockerfile.File, read.DockerfileData))
		}
		bottle.Image, bottle.Dockerfile, bottle.Devcontainer = read.Image, read.Dockerfile, &read.Devcontainer
		return goOn(bottle)
	}
	return nil
}

// goOn has a recipe go on from the image of a devcontainer.json.
func goOn(bottle *backend.BottleFile) error {
	switch {
	case bottle.Recipe == nil:
		return nil
	case bottle.Dockerfile != nil:
		return fmt.Errorf("bottle %s: a recipe can't go on from %s, which names a Dockerfile: put into that what the image is to have: %w",
			bottle.Name, bottle.Devcontainer.File, errdefs.ErrInvalidArgument)
	}
	bottle.Recipe.From, bottle.Image = bottle.Image, ""
	return nil
}
