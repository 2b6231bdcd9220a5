package manifest

import (
	"encoding/json"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema of a kind of file, or of its front matter, made from
// the types that the file is read into.
func Schema(kind Kind) ([]byte, error) {
	var value any
	switch kind {
	case KindAgent:
		value = &backend.AgentFile{}
	case KindBottle:
		value = &backend.BottleFile{}
	case KindHost:
		value = &backend.HostFile{}
	case KindRecipe:
		value = &backend.Recipe{}
	default:
		return nil, fmt.Errorf("there is no schema of %q: agent, bottle, recipe or config: %w", kind, errdefs.ErrNotFound)
	}
	reflector := jsonschema.Reflector{FieldNameTag: "yaml", ExpandedStruct: true, DoNotReference: true, Anonymous: true}
	schema := reflector.Reflect(value)
	if kind == KindBottle {
		imageOrRecipe(reflector, schema)
	}
	schema.Title = "claude-bottle " + string(kind) + " file"
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return append(data, '\n'), nil
}

// imageOrRecipe lets a bottle's image be a recipe, a Dockerfile or a devcontainer.json as well
// as a reference.
func imageOrRecipe(reflector jsonschema.Reflector, bottle *jsonschema.Schema) {
	reference, ok := bottle.Properties.Get("image")
	if !ok {
		return
	}
	recipe := reflector.Reflect(&backend.Recipe{})
	recipe.Version, recipe.Description = "", "How the image is made: image build makes it."
	dockerfile := reflector.Reflect(&backend.Dockerfile{})
	dockerfile.Version, dockerfile.Description = "", "The Dockerfile that BuildKit makes the image of."
	devcontainer := reflector.Reflect(&backend.Devcontainer{})
	devcontainer.Version = ""
	devcontainer.Description = "The devcontainer.json that names the image; environment and commands and ports are taken of it too. What a recipe puts onto an image may stand beside it."
	for pair := recipe.Properties.Oldest(); pair != nil; pair = pair.Next() {
		if pair.Key != "from" {
			devcontainer.Properties.Set(pair.Key, pair.Value)
		}
	}
	bottle.Properties.Set("image", &jsonschema.Schema{OneOf: []*jsonschema.Schema{reference, recipe, dockerfile, devcontainer}})
}
