package manifest

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v3"
)

// decodeBottle reads a bottle's front matter, in which the image may be a recipe.
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
			if into.Recipe != nil {
				return twice(path)
			}
			into.Recipe = &backend.Recipe{Directory: filepath.Dir(path)}
			if err := decodeNode(path, root.Content[i+1], into.Recipe); err != nil {
				return err
			}
			root.Content = slices.Delete(root.Content, i, i+2)
			i -= 2
		}
	}
	if err := decodeNode(path, root, into); err != nil {
		return err
	}
	if into.Recipe != nil && into.Image != "" {
		return twice(path)
	}
	return nil
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
