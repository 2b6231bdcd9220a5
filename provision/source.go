package provision

import (
	"context"
	"os"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
)

// source is one directory that the copy of the working directory is made of, and
// what of it goes where.
type source struct {
	root    *os.Root
	options archive.PackOptions
}

// sources are the working directory itself, then what belongs into its .git from
// elsewhere. No file is in two of them. They apply what was decided while
// planning; what has come since is judged by the same rules. release ends their
// use.
func sources(ctx context.Context, tree *backend.WorkTree) (_ []source, release func(), err error) {
	main := judgeOf(tree)
	list := []source{{tree.Root(), archive.PackOptions{Visit: main.visit, Content: (&content{tree: tree, git: main.git}).replacing(ctx)}}}
	for i, judge := range historyJudges(*tree, tree.HistoryRoots()) {
		list = append(list, source{tree.HistoryRoots()[i], archive.PackOptions{
			Prefix: ".git/", Visit: judge.visit, Content: (&content{tree: tree, git: judge.git, elsewhere: true}).replacing(ctx),
		}})
	}
	if !tree.Borrows {
		return list, func() {}, nil
	}
	packed, release, err := packBorrowed(ctx, tree)
	if err != nil {
		return nil, nil, err
	}
	return append(list, packed), release, nil
}

// judgeOf judges the working directory itself as was decided while planning.
func judgeOf(tree *backend.WorkTree) *judge {
	main := &judge{git: newGitDirectories(tree.Root(), tree.Path, gitWhole), named: map[string]string{}, secrets: tree.IncludeSecrets, linked: len(tree.History) > 0}
	for _, omission := range tree.Omitted {
		main.named[omission.Path] = omission.Reason
	}
	main.git.move(tree.History)
	if tree.Borrows && len(tree.History) == 0 {
		main.git.packed = gitDirOf(tree)
	}
	return main
}

// historyJudges are for the directories that .git is put together from.
func historyJudges(tree backend.WorkTree, roots []*os.Root) []*judge {
	parts := []gitPart{gitShared, gitOwn}
	if len(roots) == 1 {
		parts = []gitPart{gitWhole}
	}
	var list []*judge
	for i, root := range roots {
		j := &judge{git: newGitDirectories(root, tree.History[i], parts[i])}
		j.git.found[""] = true
		if tree.Borrows && i == 0 {
			j.git.packed = ""
		}
		list = append(list, j)
	}
	return list
}

// gitDirOf is the copy's git directory as a path, "" for the root.
func gitDirOf(tree *backend.WorkTree) string {
	if tree.GitDir == "." {
		return ""
	}
	return tree.GitDir
}
