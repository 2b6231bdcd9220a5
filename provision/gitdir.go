package provision

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/pattern"
)

// gitDirectories knows which directories of one tree are git's own, and what of
// them goes along. Those are all that are called .git, and all that git would take
// for a repository. It is safe for concurrent use.
type gitDirectories struct {
	root *os.Root
	path string // of root, on the host
	part gitPart
	// moved is a git directory of the host that becomes .git in the copy.
	moved string
	// packed is the one whose objects go as a pack that is made for the copy.
	packed string

	mu    sync.Mutex
	found map[string]bool
}

// gitPart says what of a git directory at the root of a tree goes along.
type gitPart int

// A linked worktree has files of its own, and shares the rest.
const (
	gitWhole gitPart = iota
	gitShared
	gitOwn
)

const nothingPacked = "\x00"

func newGitDirectories(root *os.Root, dir string, part gitPart) *gitDirectories {
	g := &gitDirectories{root: root, path: dir, part: part, packed: nothingPacked, found: map[string]bool{}}
	if part == gitOwn {
		g.found[""] = true
	} else {
		g.enter("")
	}
	return g
}

// move says what .git is put together from: submodules of a linked worktree are
// in the part that is its own.
func (g *gitDirectories) move(history []string) {
	if len(history) > 0 {
		g.moved = history[len(history)-1]
	}
}

// enter looks at a directory before what it holds. "" is the root.
func (g *gitDirectories) enter(dir string) {
	if path.Base(dir) != ".git" && !g.looksLikeGit(dir) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.found[dir] = true
}

// looksLikeGit asks what git asks of a directory.
func (g *gitDirectories) looksLikeGit(dir string) bool {
	if _, err := g.root.Lstat(path.Join(dir, "HEAD")); err != nil {
		return false
	}
	for _, name := range []string{"objects", "refs"} {
		if info, err := g.root.Lstat(path.Join(dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// within finds the innermost git directory that a path lies in, and the path
// below it; "" is the directory itself.
func (g *gitDirectories) within(name string) (dir, below string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.found) == 0 {
		return "", "", false
	}
	for dir = name; dir != ""; dir = parent(dir) {
		if g.found[dir] {
			return dir, strings.TrimPrefix(name[len(dir):], "/"), true
		}
	}
	return "", name, g.found[""]
}

// parent is path.Dir with "" for the root.
func parent(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}

var (
	pseudoRef = pattern.Lazy(`^[A-Z][A-Z_]*$`)
	// gitFiles are what git keeps directly in its directory and what is needed
	// to go on working. Other programs keep credentials there, too.
	gitFiles = pattern.Lazy(`^(config|config\.worktree|description|index|sharedindex\.[0-9a-f]+|packed-refs|shallow|logs|refs|reftable|rr-cache|rebase-merge|rebase-apply|sequencer|modules)$`)
	infoFile = pattern.Lazy(`^(exclude|attributes|sparse-checkout|refs|grafts)$`)
)

const (
	reasonHooks     = "git hooks"
	reasonLock      = "git lock"
	reasonElsewhere = "git objects elsewhere"
	reasonWorktree  = "git worktree outside"
	reasonPointsOut = "points out of the working directory"
	reasonForeign   = "no part of a repository"
	reasonDecrypted = "decrypted by git-crypt"
	reasonLongLog   = "git log too long to look through"
	// skipSilently is for what is replaced by something else.
	skipSilently = "\x00"
)

// leaveOut says why a path of a git directory stays behind, or "": what runs
// programs, points out of the tree, is half written or no part of a repository.
func (g *gitDirectories) leaveOut(dir, below string, isDir bool) string {
	if below == "" {
		return ""
	}
	parts := strings.Split(below, "/")
	base := parts[len(parts)-1]
	if dir == "" && !belongs(g.part, below, isDir) {
		return skipSilently
	}
	switch first := parts[0]; {
	case first == "hooks", first == "modules" && base == "hooks":
		return reasonHooks
	case first == "objects":
		return g.leaveOutObject(dir, parts[1:], isDir)
	case first == "worktrees":
		return g.leaveOutWorktree(dir, parts[1:], isDir)
	case first == "info":
		if len(parts) == 2 && !infoFile().MatchString(base) {
			return reasonForeign
		}
	case first == "lfs", first == "annex":
		if len(parts) > 1 && parts[1] != "objects" {
			return reasonForeign
		}
	case len(parts) == 1 && strings.HasSuffix(base, ".lock"):
		return reasonLock
	case first == "branches", first == "remotes":
		if len(parts) > 1 {
			return reasonForeign // addresses, as they were kept before there were settings
		}
	case !pseudoRef().MatchString(first) && !gitFiles().MatchString(first):
		return reasonForeign
	case first == "modules" && !isDir:
		return reasonForeign // of a repository it would be a git directory's own
	}
	return ""
}

func (g *gitDirectories) leaveOutObject(dir string, parts []string, isDir bool) string {
	if len(parts) == 0 || isDir {
		return ""
	}
	base := parts[len(parts)-1]
	switch {
	case base == "alternates" || base == "http-alternates":
		if g.packed == dir {
			return skipSilently
		}
		return reasonElsewhere
	case strings.HasPrefix(base, "tmp_"), strings.HasSuffix(base, ".lock"):
		return reasonLock
	case g.packed == dir:
		return skipSilently
	default:
		return ""
	}
}

// leaveOutWorktree lets the worktrees go along that lie in the tree, too.
func (g *gitDirectories) leaveOutWorktree(dir string, parts []string, isDir bool) string {
	switch {
	case g.part != gitWhole:
		return skipSilently
	case len(parts) == 0:
		return ""
	}
	if _, ok := g.worktree(path.Join(dir, "worktrees", parts[0])); !ok {
		return reasonWorktree
	}
	if len(parts) == 1 {
		return ""
	}
	if parts[1] == "commondir" || parts[1] == "gitdir" {
		return ""
	}
	return g.leaveOut(dir, strings.Join(parts[1:], "/"), isDir)
}

// worktree is the path of the .git file, below the root, that a directory
// worktrees/NAME stands for.
func (g *gitDirectories) worktree(admin string) (string, bool) {
	text, err := archive.ReadSmall(g.root, path.Join(admin, "gitdir"), maxLink)
	if err != nil {
		return "", false
	}
	file, ok := g.inside(admin, strings.TrimSpace(string(text)))
	if !ok || path.Base(file) != ".git" {
		return "", false
	}
	back, ok := g.link(file)
	return file, ok && back == admin
}

// maxLink bounds a file that holds a path.
const maxLink = 8 << 10

// link is where a .git file leads to, as a path below the root.
func (g *gitDirectories) link(file string) (string, bool) {
	text, err := archive.ReadSmall(g.root, file, maxLink)
	if err != nil {
		return "", false
	}
	target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return "", false
	}
	if below, ok := g.inside(parent(file), target); ok || g.moved == "" {
		return below, ok
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(g.path, parent(file), target)
	}
	if below, ok := strings.CutPrefix(filepath.Clean(target), g.moved+"/"); ok {
		return ".git/" + below, true
	}
	return "", false
}

// inside makes a path below the root of one that is written in a file of dir.
func (g *gitDirectories) inside(dir, target string) (string, bool) {
	if !filepath.IsAbs(target) {
		clean := path.Join("/", g.path, dir, target)
		relative, ok := strings.CutPrefix(clean, strings.TrimSuffix(g.path, "/")+"/")
		return relative, ok
	}
	target = filepath.Clean(target)
	if resolved, err := filepath.EvalSymlinks(target); err == nil && !contains(g.path, target) {
		target = resolved
	}
	relative, ok := strings.CutPrefix(target, strings.TrimSuffix(g.path, "/")+"/")
	return relative, ok
}

// belongs says that a path of a linked worktree's repository is of that part.
func belongs(part gitPart, below string, isDir bool) bool {
	if part == gitWhole {
		return true
	}
	own := ownedByWorktree(below)
	if isDir && (below == "logs" || below == "refs" || below == "info" || below == "logs/refs") {
		return true
	}
	return own == (part == gitOwn)
}

func ownedByWorktree(below string) bool {
	first, rest, _ := strings.Cut(below, "/")
	switch first {
	case "index", "config.worktree", "modules", "rebase-merge", "rebase-apply", "sequencer":
		return true
	case "info":
		return rest == "sparse-checkout"
	case "logs":
		if rest == "HEAD" {
			return true
		}
		rest = strings.TrimPrefix(rest, "refs/")
		fallthrough
	case "refs":
		kind, _, _ := strings.Cut(rest, "/")
		return kind == "bisect" || kind == "worktree" || kind == "rewritten"
	default:
		return pseudoRef().MatchString(first) || strings.HasPrefix(first, "sharedindex.")
	}
}
