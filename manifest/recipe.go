package manifest

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v3"
)

// decodeBottle reads a bottle's front matter, in which the image may be a recipe, a
// Dockerfile or a devcontainer.json.
func decodeBottle(path string, front []byte, into *backend.BottleFile) error {
	root, err := parse(path, front)
	if err != nil || root == nil {
		return err
	}
	if root.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if root.Content[i].Value != "image" || root.Content[i+1].Kind != yaml.MappingNode {
				continue
			}
			if into.MakesImage() {
				return twice(path)
			}
			if err := decodeImage(path, root.Content[i+1], into); err != nil {
				return err
			}
			root.Content = slices.Delete(root.Content, i, i+2)
			i -= 2
		}
	}
	if err := decodeNode(path, root, into); err != nil {
		return err
	}
	if into.MakesImage() && into.Image != "" {
		return twice(path)
	}
	return nil
}

// decodeImage reads how an image is made: its keys say by what.
func decodeImage(path string, node *yaml.Node, into *backend.BottleFile) error {
	has := func(key string) bool {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return true
			}
		}
		return false
	}
	if has("devcontainer") {
		return decodeDevcontainer(path, node, into)
	}
	if !has("dockerfile") {
		into.Recipe = &backend.Recipe{Directory: filepath.Dir(path)}
		return decodeNode(path, node, into.Recipe)
	}
	into.Dockerfile = &backend.Dockerfile{}
	if err := decodeNode(path, node, into.Dockerfile); err != nil {
		return err
	}
	if into.Dockerfile.File == "" {
		return fmt.Errorf("%s:%d: dockerfile names no file: %w", path, node.Line, errdefs.ErrInvalidArgument)
	}
	return nil
}

// located makes the paths of a Dockerfile absolute: they are relative to the directory of
// the bottle file.
func located(dockerfile *backend.Dockerfile, directory, home string) *backend.Dockerfile {
	found := *dockerfile
	found.File, found.Context = absolute(found.File, directory, home), absolute(found.Context, directory, home)
	return &found
}

// absolute is a path of a bottle file in that directory.
func absolute(path, directory, home string) string {
	if path = expandHome(path, home); path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(directory, path)
}

func twice(path string) error {
	return fmt.Errorf("%s: key image stands there twice: %w", path, errdefs.ErrInvalidArgument)
}

// ReadRecipe reads a file that is a recipe and nothing else.
func ReadRecipe(path string) (backend.Recipe, error) {
	data, err := readFile(path)
	if err != nil {
		return backend.Recipe{}, err
	}
	return ParseRecipe(path, data)
}

// ParseRecipe is ReadRecipe of what was read already. The path stands in errors, and the
// files of the recipe lie beside it.
func ParseRecipe(path string, data []byte) (backend.Recipe, error) {
	recipe := backend.Recipe{Directory: filepath.Dir(path)}
	return recipe, decode(path, data, &recipe)
}
