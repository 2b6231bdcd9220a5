package provision

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/hostgit"
)

// maxIndex bounds an index that is read here: some millions of files.
const maxIndex = 1 << 30

// index marks in a copy of an index what git has and what stays on the host, so
// that git inside does not take it for deleted.
func (c *content) index(ctx context.Context, gitDir, workdir, name string) ([]byte, bool, error) {
	omitted := map[string]bool{}
	for _, omission := range c.tree.Omitted {
		if omission.Tracked && (workdir == "" || contains(workdir, omission.Path)) {
			omitted[omission.Path] = true
		}
	}
	if len(omitted) == 0 {
		return nil, false, nil
	}
	git, scratch, err := c.borrowIndex(ctx, gitDir, workdir, name)
	if err != nil {
		return nil, false, fmt.Errorf("mark what stays on the host in %s: %w", name, err)
	}
	defer scratch.remove()
	if err := markAbsent(ctx, git, func(name string) bool { return isBelow(omitted, path.Join(workdir, name)) }); err != nil {
		return nil, false, fmt.Errorf("mark what stays on the host in %s: %w", name, err)
	}
	marked, err := os.ReadFile(filepath.Join(scratch.dir, "index"))
	return marked, err == nil, err
}

// borrowIndex makes a repository without settings, attributes and files around a
// copy of the index: who writes an index may look into files, and run filters for
// that. It has the objects of the original.
func (c *content) borrowIndex(ctx context.Context, gitDir, workdir, name string) (_ hostgit.Git, _ *scratch, err error) {
	git, err := gitIn(filepath.Join(c.tree.Path, workdir), "")
	if err != nil {
		return git, nil, err
	}
	original := git
	original.Env = []string{"GIT_DIR=" + filepath.Join(c.git.path, gitDir)}
	said, err := original.Run(ctx, nil, "rev-parse", "--path-format=absolute", "--show-object-format", "--git-path", "objects")
	if err != nil {
		return git, nil, err
	}
	format, objects, _ := strings.Cut(strings.TrimSuffix(string(said), "\n"), "\n")
	scratch, err := newScratchRepository(git.Owner, "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = "+format+"\n")
	if err != nil {
		return git, nil, err
	}
	defer func() {
		if err != nil {
			scratch.remove()
		}
	}()
	if err := scratch.mkdir("files"); err != nil {
		return git, nil, err
	}
	parts, err := fs.Glob(c.git.root.FS(), path.Join(parent(name), "sharedindex.*"))
	if err != nil {
		return git, nil, err
	}
	for _, part := range append(parts, name) {
		text, err := archive.ReadSmall(c.git.root, part, maxIndex)
		if err != nil {
			return git, nil, err
		}
		if err := scratch.write(path.Base(part), text); err != nil {
			return git, nil, err
		}
	}
	git.Dir = filepath.Join(scratch.dir, "files")
	git.Env = []string{"GIT_DIR=" + scratch.dir, "GIT_WORK_TREE=" + git.Dir, "GIT_OBJECT_DIRECTORY=" + objects}
	// In one file: there is no place for the other one.
	git.Config = []string{"core.splitIndex=false", "core.untrackedCache=false"}
	return git, scratch, nil
}

// markAbsent marks the entries that absent holds for. What has a conflict can't
// be marked.
func markAbsent(ctx context.Context, git hostgit.Git, absent func(string) bool) error {
	listed, err := git.Run(ctx, nil, "ls-files", "--cached", "--stage", "-z")
	if err != nil {
		return err
	}
	var marks bytes.Buffer
	for entry := range bytes.SplitSeq(listed, []byte{0}) {
		about, name, ok := bytes.Cut(entry, []byte("\t"))
		if ok && bytes.HasSuffix(about, []byte(" 0")) && absent(string(name)) {
			marks.Write(append(slices.Clone(name), 0))
		}
	}
	_, err = git.Run(ctx, &marks, "update-index", "--skip-worktree", "-z", "--stdin")
	return err
}

// isBelow says that a path, or a directory that it lies in, is one of those.
func isBelow(paths map[string]bool, name string) bool {
	for ; name != ""; name = parent(name) {
		if paths[name] {
			return true
		}
	}
	return false
}
