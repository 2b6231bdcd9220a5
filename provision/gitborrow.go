package provision

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// packTime bounds the packing of one repository.
const packTime = 30 * time.Minute

// packBorrowed packs what a repository needs, for it borrows objects of others:
// all that its refs, its reflogs and its index lead to, and nothing else of those
// others. Anybody can write a file that says where to borrow.
func packBorrowed(ctx context.Context, tree *backend.WorkTree) (_ source, release func(), err error) {
	git, err := gitIn(tree.Path, "")
	if err != nil {
		return source{}, nil, err
	}
	scratch, err := newScratch(git.Owner)
	if err != nil {
		return source{}, nil, err
	}
	defer func() {
		if err != nil {
			scratch.remove()
		}
	}()
	git.Timeout = packTime
	base := filepath.Join(scratch.dir, "pack")
	// No new deltas: the pack is read once.
	_, err = git.Run(ctx, nil, "pack-objects", "-q", "--all", "--reflog", "--indexed-objects", "--missing=allow-any", "--window=0", "--delta-base-offset", base)
	if err != nil {
		return source{}, nil, fmt.Errorf("pack the objects that %s borrows: %w", backend.Printable(tree.Path), err)
	}
	root, err := os.OpenRoot(scratch.dir)
	if err != nil {
		return source{}, nil, fmt.Errorf("open the packed objects: %w", err)
	}
	options := archive.PackOptions{Prefix: path.Join(gitDirOf(tree), "objects/pack") + "/"}
	return source{root, options}, func() { _ = root.Close(); scratch.remove() }, nil
}
