package change

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
	"golang.org/x/sys/unix"
)

// gitLookalike says why a path may be taken for a repository's own by git on some
// file system; "" for others.
func gitLookalike(name string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, `\`, "/"), "/") {
		if hostgit.MeansRepository(part) {
			return "it looks like .git to git on some file systems"
		}
	}
	return ""
}

// judge says what never comes home as a file.
type judge struct {
	in           []func(path string) bool // whether it is there, at either end
	own          string                   // below the destination: where applies keep their own, folded; "" is elsewhere
	top          bool                     // the destination itself has a .git
	repositories map[string]string
}

// refuse says why a change never comes home; "" for most. Where a link leads is
// judged by what was fetched of it.
func (j *judge) refuse(change *Change) string {
	if change.Note == noteRepository {
		return change.Note
	}
	if why := gitLookalike(change.Path); why != "" {
		return why
	}
	if strings.HasPrefix(foldPath(change.Path), stagingPrefix) {
		return "its name is reserved"
	}
	if folded := foldPath(change.Path); j.own != "" && (folded == j.own || strings.HasPrefix(folded, j.own+"/") || strings.HasPrefix(j.own, folded+"/")) {
		return "an apply keeps its own there"
	}
	if change.Kind == Deleted {
		return j.gitDirectory(change.Path)
	}
	if !change.after {
		if change.Note == "" {
			return "it can't be read"
		}
		return change.Note
	}
	return j.gitDirectory(change.Path)
}

// gitDirectory says whether a path lies in what git takes for a repository without
// a name: it would obey the settings in there for whoever stands in that directory.
// That may be the tree itself: a bare repository, or a directory made into one.
func (j *judge) gitDirectory(name string) string {
	for _, dir := range append(above(name), ".") {
		why, known := j.repositories[dir]
		if !known {
			has := func(name string) bool { return j.has(path.Join(dir, name)) }
			own := dir == "." && j.top // git looks into its .git first
			if !own && has("HEAD") && (has("objects") && has("refs") || has("commondir")) {
				why = fmt.Sprintf("%+q looks like a repository", dir)
				if dir == "." {
					why = "the directory itself looks like a repository, whose commits `claude-bottle fetch` brings"
				}
			}
			j.repositories[dir] = why
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func (j *judge) has(path string) bool {
	return slices.ContainsFunc(j.in, func(has func(string) bool) bool { return has(path) })
}

// linkLeaves says why a symbolic link is refused; "" for one that stays inside
// whatever the directories on its way are. So ".." may only stand at its beginning.
func linkLeaves(name, target string) string {
	if strings.HasPrefix(target, "/") {
		return fmt.Sprintf("it is a link to the absolute path %+q", target)
	}
	depth := strings.Count(name, "/")
	climbing := true
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 || !climbing {
				return fmt.Sprintf("it is a link out of the tree, to %+q", target)
			}
		default:
			climbing = false
		}
	}
	if gitLookalike(target) != "" {
		return fmt.Sprintf("it is a link into the repository, to %+q", target)
	}
	if len(target) > unix.PathMax {
		return "it is a link with an endless target"
	}
	return ""
}

// joinLink is where a link leads, as far as its text says.
func joinLink(name, target string) string { return path.Join(path.Dir(name), target) }
