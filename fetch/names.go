package fetch

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
)

// Names are the bottles whose work lies in a repository, sorted. A directory that is
// none has none.
func Names(ctx context.Context, repository string) ([]string, error) {
	resolved, err := filepath.EvalSymlinks(repository)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	owner, err := ownerOf(repository, resolved)
	if err != nil {
		return nil, err
	}
	git := hostgit.Git{Dir: resolved, Owner: owner, Timeout: fetchIdle}
	if _, err := git.Run(ctx, nil, "rev-parse", "--git-dir"); err != nil {
		if exitCodeOf(err) < 0 {
			return nil, err
		}
		return nil, nil
	}
	out, err := git.Run(ctx, nil, "for-each-ref", "--format=%(refname)", "refs/bottle/")
	if err != nil {
		return nil, fmt.Errorf("list what came home: %w", err)
	}
	var names []string
	for ref := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(ref, "refs/bottle/"), "/")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
