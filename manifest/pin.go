package manifest

import (
	"bytes"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// CheckPin says whether SavePin can change that pin.
func CheckPin(path string, old backend.RecipePackage) error {
	data, _, err := readOwn(path)
	if err != nil {
		return err
	}
	return findPin(path, data, old)
}

// SavePin puts another version of an npm package into the recipe of a file, and changes
// nothing else of it.
func SavePin(path string, old, next backend.RecipePackage) error {
	data, info, err := readOwn(path)
	if err != nil {
		return err
	}
	if err := findPin(path, data, old); err != nil {
		return err
	}
	data = bytes.ReplaceAll(data, []byte(old.Package), []byte(next.Package))
	data = bytes.ReplaceAll(data, []byte(old.Integrity), []byte(next.Integrity))
	return replaceFile(path, data, info)
}

func findPin(path string, data []byte, old backend.RecipePackage) error {
	if bytes.Count(data, []byte(old.Package)) == 1 && bytes.Count(data, []byte(old.Integrity)) == 1 {
		return nil
	}
	return fmt.Errorf("%s does not have %s and its integrity just once: change them by hand: %w", path, old.Package, errdefs.ErrFailedPrecondition)
}
