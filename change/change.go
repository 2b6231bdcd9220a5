package change

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Kind says how a file differs.
type Kind string

// The kinds of change.
const (
	Added    Kind = "added"
	Modified Kind = "modified"
	Deleted  Kind = "deleted"
	ModeOnly Kind = "mode" // whether it can be executed
	Retyped  Kind = "type" // a file became a link, or a link a file
)

// Modes, as git writes them.
const (
	gitFile       = "100644"
	gitExecutable = "100755"
	gitLink       = "120000"
)

const workspacePrefix = backend.WorkspacePath + "/"

// Change is one file that differs from what it was.
type Change struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// OldMode and Mode are git's; "" where there is no such file, or none that
	// can be compared.
	OldMode  string `json:"oldMode,omitempty"`
	Mode     string `json:"mode,omitempty"`
	OldBytes int64  `json:"oldBytes,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	// Note is what else there is to know, such as why it can't be compared.
	Note string `json:"note,omitempty"`
	// Runs is why the file runs without being asked to; "" for most.
	Runs string `json:"runs,omitempty"`
	// Lines that came and went; nil where they were not counted.
	Lines *Lines `json:"lines,omitempty"`

	before, after bool // the content of the side is at hand
	at            int  // its place in what the teller of the view has
}

// Lines are the lines of a text that came and went.
type Lines struct {
	Added   int `json:"added"`
	Deleted int `json:"deleted"`
}

// Notes of a change.
const (
	noteBefore     = "what went in is not at hand"
	noteRepository = "a repository of its own: its history does not come home with files"
	noteReplaced   = "it changes while it is read"
	noteLarge      = "too large to show"
)

// whole says that each side that there is is at hand.
func (c *Change) whole() bool {
	return (c.before || c.Kind == Added) && (c.after || c.Kind == Deleted)
}

// modeOf is git's mode of a file; "" for what git does not keep.
func modeOf(mode uint32) string {
	switch {
	case mode&unix.S_IFMT == unix.S_IFLNK:
		return gitLink
	case mode&unix.S_IFMT != unix.S_IFREG:
		return ""
	case mode&0o100 != 0:
		return gitExecutable
	default:
		return gitFile
	}
}

// kindName says in words what can't be compared.
func kindName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "a FIFO: not comparable"
	case unix.S_IFSOCK:
		return "a socket: not comparable"
	default:
		return "a device: not comparable"
	}
}

// pair makes the change of two states of a path; ok is false when there is no
// difference that can be told from the states.
func pair(name string, was, now *archive.Past) (change Change, ok bool) {
	change = Change{Path: name}
	if was != nil && was.Kind() == unix.S_IFDIR {
		was = nil
	}
	if now != nil && now.Kind() == unix.S_IFDIR {
		now = nil
	}
	if was == nil && now == nil {
		return change, false
	}
	if was != nil {
		change.OldMode, change.OldBytes, change.before = modeOf(was.Mode), was.Size, true
	}
	if now != nil {
		change.Mode, change.Bytes, change.after = modeOf(now.Mode), now.Size, true
		if change.Mode == "" {
			change.Note, change.after, change.Bytes = kindName(now.Mode), false, 0
		}
	}
	switch {
	case was == nil:
		change.Kind = Added
	case now == nil:
		change.Kind = Deleted
	case was.Kind() != now.Kind():
		change.Kind = Retyped
	default:
		change.Kind = Modified
	}
	return change, true
}

// inGit says whether a path lies in the repository of the workspace itself, and
// else in which nested one.
func inGit(name string) (own bool, nested string) {
	if name == ".git" || strings.HasPrefix(name, ".git/") {
		return true, ""
	}
	if at := strings.Index(name+"/", "/.git/"); at >= 0 {
		return false, name[:at] + "/.git"
	}
	return false, ""
}

// selected keeps the changes at and below the given paths; none is everything. A
// path without any change is a NotFound error.
func selected(changes []*Change, given []string) ([]*Change, error) {
	if len(given) == 0 {
		return changes, nil
	}
	chosen := map[*Change]bool{}
	for _, one := range given {
		name, err := cleanPath(one)
		if err != nil {
			return nil, err
		}
		found := false
		for _, change := range changes {
			if name == "." || change.Path == name || strings.HasPrefix(change.Path, name+"/") {
				chosen[change], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("nothing has changed at %s: paths are those of the workspace, as `claude-bottle diff --name-only` shows them: %w", backend.Printable(one), errdefs.ErrNotFound)
		}
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c *Change) bool { return !chosen[c] }), nil
}

func byPath(a, b *Change) int { return cmp.Compare(a.Path, b.Path) }

// above are the directories on the way to a path, the nearest first.
func above(name string) []string {
	var list []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		list = append(list, dir)
	}
	return list
}
