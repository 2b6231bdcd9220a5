package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// WorkTree is the working directory as planned: it is copied as it is at
// launch, through the directories that were opened while planning.
type WorkTree struct {
	Path string `json:"path"`
	// Head is the commit that is checked out, or "" outside a repository.
	Head string `json:"head,omitempty"`
	// Branch is what HEAD names, or "".
	Branch string `json:"branch,omitempty"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	// GitDir is the git directory of the copy, below Path: "." for a bare
	// repository, "" without a history.
	GitDir string `json:"gitDir,omitempty"`
	// History are the directories outside Path that .git is put together from:
	// that of a linked worktree or submodule, and the one that it shares.
	History []string `json:"history,omitempty"`
	// Borrows says that objects lie in other repositories, and that those that
	// this one needs are copied from there.
	Borrows bool `json:"borrows,omitempty"`
	// AuthorName and AuthorEmail are the user's, as git knows them.
	AuthorName  string `json:"authorName,omitempty"`
	AuthorEmail string `json:"authorEmail,omitempty"`
	// IncludeIgnored and IncludeSecrets say that files go along that would stay:
	// those that git ignores, and those that look like secrets.
	IncludeIgnored bool `json:"includeIgnored,omitempty"`
	IncludeSecrets bool `json:"includeSecrets,omitempty"`
	// Omitted is what stays on the host, and why, sorted by path.
	Omitted []Omission `json:"omitted,omitempty"`
	root    *os.Root
	history []*os.Root
}

// The reasons for which a path stays on the host. Others are in plain words,
// too: of files that are no work, such as sockets, and of what is git's own.
const (
	ReasonIgnored      = "ignored by git"
	ReasonBottleIgnore = "named in .bottleignore"
	ReasonSecretName   = "looks like a secret"
	ReasonSecret       = "holds a secret"
)

// Omission is a path of the working directory that is not copied.
type Omission struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	// Rule is what was found in a file that holds a secret.
	Rule string `json:"rule,omitempty"`
	// Tracked says that git has it, or something below it: what was committed of
	// it is in the copied history.
	Tracked bool `json:"tracked,omitempty"`
}

// String is the path and the reason, for people.
func (o Omission) String() string {
	why := o.Reason
	if o.Rule != "" {
		why += ": " + o.Rule
	}
	if o.Tracked {
		why += ", tracked by git"
	}
	return fmt.Sprintf("%s (%s)", Printable(o.Path), Printable(why))
}

// OmissionCount is how many paths stay for one reason.
type OmissionCount struct {
	Reason string
	Count  int
}

// Omissions counts what stays on the host by its reason: what may surprise comes
// first, what git ignores last.
func (w *WorkTree) Omissions() []OmissionCount {
	var counts []OmissionCount
	for _, omission := range w.Omitted {
		at := slices.IndexFunc(counts, func(c OmissionCount) bool { return c.Reason == omission.Reason })
		if at < 0 {
			at = len(counts)
			counts = append(counts, OmissionCount{Reason: omission.Reason})
		}
		counts[at].Count++
	}
	slices.SortStableFunc(counts, func(a, b OmissionCount) int { return surprise(a.Reason) - surprise(b.Reason) })
	return counts
}

// surprise is the place of a reason among the others.
func surprise(reason string) int {
	order := []string{ReasonSecretName, ReasonSecret, ReasonBottleIgnore}
	if at := slices.Index(order, reason); at >= 0 {
		return at
	}
	if reason == ReasonIgnored {
		return len(order) + 1
	}
	return len(order)
}

// NewWorkTree returns the tree that is read through root, and through history for
// the directories that History names. The tree owns them.
func NewWorkTree(tree WorkTree, root *os.Root, history ...*os.Root) *WorkTree {
	tree.root, tree.history = root, history
	return &tree
}

// Root is the directory opened while planning; the caller must not close it.
func (w *WorkTree) Root() *os.Root { return w.root }

// HistoryRoots are the directories of History, in their order; the caller must
// not close them.
func (w *WorkTree) HistoryRoots() []*os.Root { return w.history }

// Close lets go of the directories.
func (w *WorkTree) Close() error {
	if w == nil || w.root == nil {
		return nil
	}
	err := w.root.Close()
	for _, root := range w.history {
		err = errors.Join(err, root.Close())
	}
	return err
}
