package provision

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

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
	text, err := readSmall(c.git.root, name, maxIndex)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	dir := filepath.Join(c.tree.Path, workdir)
	git, err := gitIn(dir, "")
	if err != nil {
		return nil, false, err
	}
	scratch, err := newScratch(git.Owner)
	if err != nil {
		return nil, false, err
	}
	defer scratch.remove()
	if err := scratch.write("index", text); err != nil {
		return nil, false, err
	}
	copied := filepath.Join(scratch.dir, "index")
	git.Env = []string{"GIT_INDEX_FILE=" + copied, "GIT_DIR=" + filepath.Join(c.git.path, gitDir), "GIT_WORK_TREE=" + dir}
	// In one file: there is no place for the other one.
	git.Config = []string{"core.splitIndex=false", "core.untrackedCache=false"}
	if err := markAbsent(ctx, git, func(name string) bool { return isBelow(omitted, path.Join(workdir, name)) }); err != nil {
		return nil, false, fmt.Errorf("mark what stays on the host in %s: %w", name, err)
	}
	marked, err := os.ReadFile(copied)
	return marked, err == nil, err
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
