package recipe

import (
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// ClaudePackage is the package of npm's that says which claude is the newest. What images
// have is one of the packages that it consists of, for each platform one.
const ClaudePackage = "@anthropic-ai/claude-code"

// Claude is the package of a recipe by which claude gets in: its name and its version.
// A recipe without one is a NotFound error.
func Claude(recipe backend.Recipe) (name, version string, err error) {
	for _, entry := range recipe.NPM {
		at := strings.LastIndex(entry.Package, "@")
		if at <= 0 {
			continue
		}
		if name := entry.Package[:at]; name == ClaudePackage || strings.HasPrefix(name, ClaudePackage+"-") {
			return name, entry.Package[at+1:], nil
		}
	}
	return "", "", errdefs.ErrNotFound
}

// WithClaude is the recipe with that one in place of its own, and both entries.
func WithClaude(recipe backend.Recipe, version, integrity string) (changed backend.Recipe, old, next backend.RecipePackage) {
	changed = recipe
	changed.NPM = slices.Clone(recipe.NPM)
	name, _, err := Claude(recipe)
	if err != nil {
		return changed, old, next
	}
	for i, entry := range changed.NPM {
		if strings.HasPrefix(entry.Package, name+"@") {
			old, next = entry, entry
			next.Package, next.Integrity = name+"@"+version, integrity
			changed.NPM[i] = next
			break
		}
	}
	return changed, old, next
}
