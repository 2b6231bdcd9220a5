package provision

import (
	"path"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// judge says of each entry of a walk whether it stays on the host. While planning
// and at launch it is the same one.
type judge struct {
	git *gitDirectories
	// named are the paths that git, .bottleignore or the plan leave out.
	named map[string]string
	// secrets lets what looks like a secret go along.
	secrets bool
	// linked says that the .git file at the root is replaced.
	linked bool
}

// maxLog bounds a file of git's that is looked through for URLs.
const maxLog = 64 << 20

// leaveOut says why an entry stays on the host, or "". A directory is entered.
func (j *judge) leaveOut(entry archive.Entry) string {
	switch entry.Kind() {
	case unix.S_IFREG, unix.S_IFLNK:
	case unix.S_IFDIR:
		j.git.enter(entry.Path)
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFIFO:
		return "FIFO"
	default:
		return "device"
	}
	if reason := j.named[entry.Path]; reason != "" {
		return reason
	}
	if dir, below, ok := j.git.within(entry.Path); ok {
		if reason := j.git.leaveOut(dir, below, entry.IsDir()); reason != "" {
			return reason
		}
		return j.gitEntry(entry, below)
	}
	if path.Base(entry.Path) == ".git" {
		return j.gitLink(entry)
	}
	if !j.secrets && secretLike(entry) {
		return backend.ReasonSecretName
	}
	return ""
}

// gitEntry judges an entry of a git directory by more than its path.
func (j *judge) gitEntry(entry archive.Entry, below string) string {
	switch {
	case entry.Kind() == unix.S_IFLNK && !j.leadsInside(entry):
		return reasonPointsOut
	case entry.Kind() == unix.S_IFREG && mayQuoteAddresses(below) && entry.Stat.Size > maxLog:
		return reasonLongLog
	}
	return ""
}

// gitLink judges a .git that is no directory.
func (j *judge) gitLink(entry archive.Entry) string {
	inside := false
	switch {
	case j.linked && entry.Path == ".git":
		return skipSilently
	case entry.Kind() == unix.S_IFLNK:
		inside = j.leadsInside(entry)
	default:
		_, inside = j.git.link(entry.Path)
	}
	if !inside {
		return reasonPointsOut
	}
	return ""
}

func (j *judge) leadsInside(entry archive.Entry) bool {
	target, err := j.git.root.Readlink(entry.Path)
	if err != nil || path.IsAbs(target) {
		return false
	}
	_, ok := j.git.inside(parent(entry.Path), target)
	return ok
}

// visit makes a walk's function of the judge.
func (j *judge) visit(entry archive.Entry) error {
	if j.leaveOut(entry) != "" {
		return archive.ErrSkip
	}
	return nil
}
