package change

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// area is where an apply keeps its own: in the state directory of its bottle, or where the
// user keeps such things. No bottle and no other user reaches it. It is held by one at a
// time.
type area struct {
	dir  string
	lock *os.File
	own  bool // it is the user's, and goes with the apply
}

func (a *area) path(name string) string { return filepath.Join(a.dir, name) }

func openArea(work *backend.Work, dir string) (_ *area, err error) {
	a := &area{dir: dir, own: dir != ""}
	if !a.own {
		a.dir = work.Path(backend.StateApply)
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make room for apply: %w", err)
	}
	if a.lock, err = os.OpenFile(a.path("lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("lock apply: %w", err)
	}
	if err := flock(a.lock); err != nil || !a.locked() {
		_ = a.lock.Close()
		return nil, fmt.Errorf("another apply of %s is under way: wait for it to end: %w", work.Handle(), errdefs.ErrUnavailable)
	}
	for _, name := range []string{"a", "b", "m"} {
		err = errors.Join(err, os.RemoveAll(a.path(name)), os.Mkdir(a.path(name), 0o700))
	}
	if !a.own {
		err = errors.Join(err, ledger.KeepTime(work))
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("make room for apply: %w", err)
	}
	return a, nil
}

// ownBelow is the path below a destination at which applies keep their own, if that is with
// the user: a journal that a bottle has written would have the next apply do as it likes.
func ownBelow(into, area string) (string, error) {
	if area == "" {
		return "", nil
	}
	own, err := filepath.EvalSymlinks(filepath.Dir(area))
	if err != nil {
		return "", fmt.Errorf("find room for apply: %w", err)
	}
	relative, err := filepath.Rel(into, own)
	if err != nil {
		return "", fmt.Errorf("find room for apply: %w", err)
	}
	switch outside := relative == ".." || strings.HasPrefix(relative, "../"); {
	case !outside && relative != ".":
		return foldPath(relative), nil
	case !outside, strings.HasPrefix(into, own+"/"):
		return "", fmt.Errorf("applies keep their own in %s: name another directory: %w", backend.Printable(into), errdefs.ErrInvalidArgument)
	default:
		return "", nil
	}
}

// locked says that the lock has its name still: who held it before may have taken it away.
func (a *area) locked() bool {
	held, err := a.lock.Stat()
	there, otherErr := os.Lstat(a.path("lock"))
	return err == nil && otherErr == nil && os.SameFile(held, there)
}

func (a *area) close() {
	for _, name := range []string{"a", "b", "m"} {
		_ = os.RemoveAll(a.path(name))
	}
	if _, err := os.Lstat(a.path(backend.ApplyJournal)); a.own && errors.Is(err, fs.ErrNotExist) {
		_, _ = os.Remove(a.path("lock")), os.Remove(a.dir)
	}
	_ = a.lock.Close()
}
