package manifest

import (
	"errors"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
)

// NamedImage is an image that a bottle file names, or that is made for it.
type NamedImage struct {
	Bottle string
	Image  string // "" for the default one
}

// Images lists what the bottle files of the user name. Files that can't be read are
// told of beside it: nobody knows what they would name.
func Images(options Options) ([]NamedImage, error) {
	var list []NamedImage
	var failed []error
	for _, name := range names(filepath.Join(options.Home, ".claude-bottle", "bottles")) {
		bottle, err := (&loader{options: options}).bottle(name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		image := bottle.Image
		if bottle.Builds() {
			image = backend.BuiltImage(name)
		}
		list = append(list, NamedImage{name, image})
	}
	return list, errors.Join(failed...)
}
