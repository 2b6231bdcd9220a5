package fetch

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// maxLeft bounds the paths that are named.
const maxLeft = 100

// Left is what of a workspace is nowhere else.
type Left struct {
	// Nested are repositories within the repository.
	Nested []string `json:"nested,omitempty"`
	// Files counts other files; Paths are the first of them.
	Files int      `json:"files"`
	Paths []string `json:"paths,omitempty"`
}

// whatIsLeft looks for what is in the workspace and nowhere else. Of .git only what
// no ref stands for is named, and what lies in a repository within by that alone.
func whatIsLeft(ctx context.Context, work *backend.Work, saved archive.Baseline) (Left, error) {
	now, err := ledger.Now(ctx, work)
	if err != nil {
		return Left{}, err
	}
	var left []string
	nested := map[string]bool{}
	for path, state := range now {
		if state == archive.StateDirectory || saved[path] == state || isGit(path) && !besideObjects(path) {
			continue
		}
		if dir, _, ok := strings.Cut(path, "/.git/"); ok {
			nested[dir] = true
			continue
		}
		if dir, ok := strings.CutSuffix(path, "/.git"); ok {
			nested[dir] = true
			continue
		}
		left = append(left, path)
	}
	left = slices.DeleteFunc(left, func(path string) bool { return under(nested, path) })
	slices.Sort(left)
	return Left{Nested: slices.Sorted(maps.Keys(nested)), Files: len(left), Paths: left[:min(len(left), maxLeft)]}, nil
}

// under says that a path lies in one of the directories.
func under(directories map[string]bool, path string) bool {
	for at, r := range path {
		if r == '/' && directories[path[:at]] {
			return true
		}
	}
	return false
}
