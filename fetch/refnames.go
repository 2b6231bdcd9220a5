package fetch

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRefName bounds the name of a ref, in bytes: each part becomes a file.
const maxRefName = 200

// Skipped is a ref that was not fetched.
type Skipped struct {
	Name   string `json:"name"` // foreign text
	Reason string `json:"reason"`
}

// checkNames parts the refs that may come from those that may not. known are names
// that the host has already, below the same directory.
func checkNames(refs []listedRef, known map[string]string) (good []listedRef, skipped []Skipped) {
	skip := func(ref listedRef, reason string) { skipped = append(skipped, Skipped{ref.to, reason}) }
	folded := map[string]string{}
	for name := range known {
		folded[strings.ToLower(name)] = name
	}
	taken, seen := newNameSet(maps.Keys(known)), map[string]bool{}
	for _, ref := range refs {
		reason := wrongName(ref.to)
		other, same := folded[strings.ToLower(ref.to)]
		switch {
		case reason != "":
			skip(ref, reason)
		case same && other != ref.to:
			skip(ref, "it differs from "+other+" in case only")
		case taken.blocks(ref.to):
			skip(ref, "another ref has its name as a directory, or the other way round: rename it inside, or delete the old one here")
		case seen[ref.to]:
			skip(ref, "it was listed twice")
		default:
			folded[strings.ToLower(ref.to)] = ref.to
			taken.add(ref.to)
			seen[ref.to] = true
			good = append(good, ref)
		}
	}
	return good, skipped
}

// wrongName says why a ref of that name is not wanted, or "". The rules are those
// of git check-ref-format and some of ours, for people and their file systems.
func wrongName(name string) string {
	top, rest, _ := strings.Cut(name, "/")
	switch {
	case slices.Contains([]string{"heads", "tags", "notes"}, top) && rest != "":
	case rest == "" && (name == "HEAD" || name == "uncommitted" || top == "stash" || strings.HasPrefix(top, "stash-")):
	default:
		return "it is neither a branch nor a tag"
	}
	if len(name) > maxRefName {
		return "its name is too long"
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "its name holds what can't be shown"
	}
	if strings.ContainsAny(name, " ~^:?*[\\") || strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return "its name is none that git allows"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "@" || strings.HasPrefix(part, ".") || strings.HasPrefix(part, "-") ||
			strings.HasSuffix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "its name is none that git allows"
		}
	}
	return ""
}

// nameSet knows which names are refs and which are directories of refs.
type nameSet struct{ refs, directories map[string]bool }

func newNameSet(names iter.Seq[string]) nameSet {
	s := nameSet{map[string]bool{}, map[string]bool{}}
	for name := range names {
		s.add(name)
	}
	return s
}

func (s nameSet) add(name string) {
	s.refs[name] = true
	for at, r := range name {
		if r == '/' {
			s.directories[name[:at]] = true
		}
	}
}

// blocks says that a ref of that name can't stand beside the others.
func (s nameSet) blocks(name string) bool {
	if s.directories[name] {
		return true
	}
	for at, r := range name {
		if r == '/' && s.refs[name[:at]] {
			return true
		}
	}
	return false
}
