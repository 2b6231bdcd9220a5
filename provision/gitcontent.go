package provision

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// content writes those files of a repository anew that can't go as they are.
type content struct {
	tree *backend.WorkTree
	git  *gitDirectories
	// elsewhere says that the root of git is a git directory outside of the
	// tree.
	elsewhere bool
}

// replacing returns what archive.PackOptions wants as Content.
func (c *content) replacing(ctx context.Context) func(string) ([]byte, bool, error) {
	return func(name string) ([]byte, bool, error) {
		dir, below, ok := c.git.within(name)
		switch {
		case !ok && path.Base(name) == ".git":
			target, ok := c.git.link(name)
			return gitFile(parent(name), target), ok, nil
		case !ok || below == "":
			return nil, false, nil
		case isConfig(below):
			text, err := c.config(dir, below).scrub(ctx, c.git.root, name)
			if err != nil && ctx.Err() == nil && !c.isTop(dir) {
				// Git inside can't read it either.
				return []byte("# not copied: git can't read it\n"), true, nil
			}
			return text, err == nil, err
		case mayQuoteAddresses(below):
			text, err := archive.ReadSmall(c.git.root, name, maxLog)
			return cleanText(text), err == nil, err
		case below == "index":
			if workdir, ok := c.workdir(ctx, dir); ok {
				return c.index(ctx, dir, workdir, name)
			}
		case strings.HasPrefix(below, "worktrees/") && strings.Count(below, "/") == 2:
			return c.worktree(ctx, parent(name), path.Base(name))
		}
		return nil, false, nil
	}
}

// isTop says that a git directory becomes that of the working directory itself.
func (c *content) isTop(dir string) bool {
	if c.elsewhere {
		return dir == ""
	}
	return c.tree.GitDir != "" && dir == gitDirOf(c.tree)
}

// gitFile is a .git file in dir that leads to target.
func gitFile(dir, target string) []byte {
	relative, err := filepath.Rel("/"+dir, "/"+target)
	if err != nil {
		return nil // both are absolute
	}
	return []byte("gitdir: " + relative + "\n")
}

// worktree writes what stands for a linked worktree inside of the tree.
func (c *content) worktree(ctx context.Context, admin, name string) ([]byte, bool, error) {
	file, ok := c.git.worktree(admin)
	switch {
	case !ok:
		return nil, false, nil
	case name == "gitdir":
		return []byte(backend.WorkspacePath + "/" + file + "\n"), true, nil
	case name == "index":
		return c.index(ctx, admin, parent(file), path.Join(admin, name))
	default:
		return nil, false, nil
	}
}

// config says what becomes of the configuration of a git directory.
func (c *content) config(dir, below string) gitConfig {
	config := gitConfig{}
	if c.elsewhere {
		config.bare = "false"
	} else if !strings.HasPrefix(below, "worktrees/") {
		config.worktree = func(value string) (string, bool) {
			target, ok := c.git.inside(dir, value)
			if !ok {
				return "", false
			}
			relative, err := filepath.Rel("/"+dir, "/"+target)
			return relative, err == nil
		}
	}
	if below != "config" {
		return config
	}
	// Times and sizes of the copies are those of the originals, the rest of what
	// stat says is not: git need not read all files again.
	config.extra = append(config.extra, [2]string{"core.checkstat", "minimal"})
	if c.isTop(dir) || c.elsewhere {
		for key, value := range map[string]string{"user.name": c.tree.AuthorName, "user.email": c.tree.AuthorEmail} {
			if value != "" {
				config.extra = append(config.extra, [2]string{key, value})
			}
		}
	}
	return config
}

// workdir is the directory whose files the index of a git directory lists, below
// the working directory.
func (c *content) workdir(ctx context.Context, dir string) (string, bool) {
	switch {
	case c.isTop(dir):
		return "", true
	case path.Base(dir) == ".git":
		return parent(dir), true
	}
	text, err := archive.ReadSmall(c.git.root, path.Join(dir, "config"), maxGitFile)
	if err != nil {
		return "", false
	}
	settings, err := listConfig(ctx, text)
	if err != nil {
		return "", false
	}
	for _, setting := range settings {
		target := setting[1]
		if setting[0] != "core.worktree" {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(c.git.path, dir, target)
		}
		return strings.CutPrefix(target, c.tree.Path+"/")
	}
	return "", false
}
