package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/containerd/errdefs"
)

// repository is what a working directory says about its version control.
type repository struct {
	// is says that git knows the directory; history, that its history goes
	// along.
	is, history bool
	// dir is the git directory below the root: .git, or "" for a bare one. It is
	// not in the tree when paths are: the shared directory first, then what the
	// linked worktree has of its own.
	dir   string
	bare  bool
	paths []string
	roots []*os.Root
	// warnings say what does not go along.
	warnings []string
}

// findRepository looks at .git. What it leads to is believed outside of the tree
// only when that leads back: anybody can write a .git file that names a repository
// of the user's.
func findRepository(ctx context.Context, root *os.Root, dir string, git *gitDirectories) (repository, error) {
	info, err := root.Lstat(".git")
	switch {
	case errors.Is(err, fs.ErrNotExist) && git.found[""]:
		return repository{is: true, history: true, bare: true}, nil
	case errors.Is(err, fs.ErrNotExist):
		top := inRepository(dir)
		if top == "" {
			return repository{}, nil
		}
		return repository{is: true, warnings: []string{
			"the working directory lies inside the repository " + top + ": the history is not copied. Start from there to take it along.",
		}}, nil
	case err != nil:
		return repository{}, fmt.Errorf("look at .git: %w", err)
	case info.IsDir():
		return repository{is: true, history: true, dir: ".git"}, nil
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err := root.Readlink(".git"); err == nil && !path.IsAbs(target) {
			if below, ok := git.inside("", target); ok {
				return repository{is: true, history: true, dir: below}, nil
			}
		}
		return repository{is: true, warnings: []string{
			".git is a link that leads out of the working directory: the history is not copied. Start from a clone, or from a worktree made by `git worktree add`.",
		}}, nil
	}
	if below, ok := git.link(".git"); ok {
		return repository{is: true, history: true, dir: below}, nil
	}
	return linkedRepository(ctx, root, dir)
}

// linkedRepository opens what a .git file names outside of the tree.
func linkedRepository(ctx context.Context, root *os.Root, dir string) (_ repository, err error) {
	text, err := archive.ReadSmall(root, ".git", maxLink)
	if err != nil {
		return repository{}, fmt.Errorf("read .git: %w", err)
	}
	target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return repository{}, errors.New("its .git is a file, but none that git writes")
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(dir, target)
	}
	found := repository{is: true, history: true}
	defer func() {
		if err != nil || !found.history {
			found.close()
		}
	}()
	own, err := found.open(target)
	if err != nil {
		return found, err
	}
	if shared, err := archive.ReadSmall(own, "commondir", maxLink); err == nil {
		if !leadsBack(own, "gitdir", target, filepath.Join(dir, ".git")) {
			return notLinked(&found, target)
		}
		if info, err := own.Lstat("reftable"); err == nil && info.IsDir() {
			return found, fmt.Errorf("it is a linked worktree of a repository in the format reftable, whose references can't be put together: start from the main worktree or a clone: %w", errdefs.ErrFailedPrecondition)
		}
		common := strings.TrimSpace(string(shared))
		if !filepath.IsAbs(common) {
			common = filepath.Join(target, common)
		}
		if _, err := found.open(common); err != nil {
			return found, err
		}
		found.paths[0], found.paths[1] = found.paths[1], found.paths[0]
		found.roots[0], found.roots[1] = found.roots[1], found.roots[0]
		return found, nil
	}
	for _, name := range []string{"config", "config.worktree"} {
		if content, err := archive.ReadSmall(own, name, maxGitFile); err == nil && worktreeOf(ctx, content, target, dir) {
			return found, nil
		}
	}
	return notLinked(&found, target)
}

func (r *repository) open(dir string) (*os.Root, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("its .git names a repository that is not there: %w", err)
	}
	root, err := os.OpenRoot(resolved)
	if err != nil {
		return nil, fmt.Errorf("open the repository that .git names: %w", err)
	}
	r.paths, r.roots = append(r.paths, resolved), append(r.roots, root)
	return root, nil
}

func (r *repository) close() {
	for _, root := range r.roots {
		_ = root.Close()
	}
	r.roots, r.paths = nil, nil
}

// notLinked is for a .git file that could have been written by anybody.
func notLinked(found *repository, target string) (repository, error) {
	found.history = false
	return repository{is: true, warnings: []string{
		".git names " + target + ", which does not name this directory as its worktree: the history is not copied. Start from a clone, or from a worktree made by `git worktree add`.",
	}}, nil
}

// leadsBack says that a file of a repository holds a path to that very file.
func leadsBack(root *os.Root, name, dir, file string) bool {
	text, err := archive.ReadSmall(root, name, maxLink)
	if err != nil {
		return false
	}
	target := strings.TrimSpace(string(text))
	if !filepath.IsAbs(target) {
		target = filepath.Join(dir, target)
	}
	return sameFile(target, file)
}

// worktreeOf says that a configuration names that directory as the worktree.
func worktreeOf(ctx context.Context, config []byte, gitDir, dir string) bool {
	settings, err := listConfig(ctx, config)
	if err != nil {
		return false
	}
	for _, setting := range settings {
		target := setting[1]
		if setting[0] != "core.worktree" {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(gitDir, target)
		}
		if sameFile(target, dir) {
			return true
		}
	}
	return false
}

func sameFile(a, b string) bool {
	first, err := os.Lstat(a)
	if err != nil {
		return false
	}
	second, err := os.Lstat(b)
	return err == nil && os.SameFile(first, second)
}

// inRepository is the directory above that holds a .git, or "".
func inRepository(dir string) string {
	for dir != "/" && dir != "." {
		dir = path.Dir(dir)
		if _, err := os.Lstat(path.Join(dir, ".git")); err == nil {
			return dir
		}
	}
	return ""
}
