package change

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/hostgit"
)

// What is shown of contents, in bytes: of one file, and of one side of all.
const (
	maxShown    = 32 << 20
	maxAllShown = 1 << 30
)

// diffTimeout bounds one run of git diff.
const diffTimeout = 10 * time.Minute

// nobody is the user who compares: one that no system has, so that what is wrong
// with git can be used against nothing.
const nobody = 0x7ffffff0

// scratch is a private directory with the two sides of some changes.
type scratch struct {
	dir   string
	owner *hostgit.Owner
}

// newScratch makes the directory. The caller removes it.
func newScratch() (*scratch, error) {
	parent, owner := os.TempDir(), (*hostgit.Owner)(nil)
	if os.Geteuid() == 0 {
		for _, candidate := range []string{parent, "/tmp", "/var/tmp"} {
			if passable(candidate) {
				parent, owner = candidate, &hostgit.Owner{UID: nobody, GID: nobody}
				break
			}
		}
	}
	dir, err := os.MkdirTemp(parent, "claude-bottle-diff-")
	if err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	s := &scratch{dir: dir, owner: owner}
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			s.remove()
			return nil, fmt.Errorf("make scratch directory: %w", err)
		}
	}
	return s, nil
}

// passable says that everybody gets to what lies in a directory.
func passable(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	for ; err == nil; dir = filepath.Dir(dir) {
		info, statErr := os.Stat(dir)
		if statErr != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
	return false
}

func (s *scratch) remove() { _ = os.RemoveAll(s.dir) }

func (s *scratch) side(name string) *side {
	return &side{dir: filepath.Join(s.dir, name), largest: maxShown, left: maxAllShown}
}

// handOver gives everything to the one who compares.
func (s *scratch) handOver() error {
	if s.owner == nil {
		return nil
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, int(s.owner.UID), int(s.owner.GID))
	})
}

// git knows of no repository and of no settings there.
func (s *scratch) git() hostgit.Git {
	return hostgit.Git{
		Dir: s.dir, Owner: s.owner, Timeout: diffTimeout,
		Env: []string{"GIT_CEILING_DIRECTORIES=" + filepath.Dir(s.dir), "GIT_DIR=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"},
	}
}

// compare runs git diff on the two sides. The files in there have numbers for
// names: no name and no .gitattributes of the agent's means anything to git.
func (s *scratch) compare(ctx context.Context, to io.Writer, args ...string) error {
	args = append([]string{"diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--no-prefix"}, args...)
	err := s.git().Stream(ctx, nil, to, append(args, "--", "a", "b")...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // they differ
	}
	return err
}

// materialise puts both sides of the changes into a scratch directory, as far as
// they are at hand and not too large.
func (v *View) materialise(ctx context.Context, changes []*Change) (*scratch, error) {
	made, err := newScratch()
	if err != nil {
		return nil, err
	}
	before, after := made.side("a"), made.side("b")
	if err = v.fill(ctx, whole(changes), before, after); err == nil {
		for i, change := range changes {
			if !change.whole() { // half a comparison would be a lie
				_, _ = os.Remove(before.path(i)), os.Remove(after.path(i))
			}
		}
		err = made.handOver()
	}
	if err != nil {
		made.remove()
		return nil, err
	}
	return made, nil
}

// whole are the changes of which both sides are at hand, with nil for the others.
func whole(changes []*Change) []*Change {
	list := make([]*Change, len(changes))
	for i, change := range changes {
		if change.whole() {
			list[i] = change
		}
	}
	return list
}

// fill fetches what is at hand of both sides. What turns out not to be is noted in
// the change.
func (v *View) fill(ctx context.Context, changes []*Change, before, after *side) error {
	var olds, news []int
	for i, change := range changes {
		if change != nil && change.before {
			olds = append(olds, i)
		}
		if change != nil && change.after {
			news = append(news, i)
		}
	}
	lost := func(number int, note string) *Change {
		change := changes[number]
		if change.Note == "" {
			change.Note = note
		}
		return change
	}
	err := v.before.fetch(ctx, changes, olds, before, func(number int, note string) { lost(number, note).before = false })
	if err != nil {
		return err
	}
	return v.after.fetch(ctx, changes, news, after, func(number int, note string) { lost(number, note).after = false })
}

// Patch writes the changes at and below the paths as git diff does. It returns
// those that it can't show, and why is in their notes.
func (v *View) Patch(ctx context.Context, w io.Writer, paths []string) (hidden []Change, err error) {
	changes, err := selected(v.changes, paths)
	if err != nil {
		return nil, err
	}
	made, err := v.materialise(ctx, changes)
	if err != nil {
		return nil, err
	}
	defer made.remove()
	if err := made.patch(ctx, w, changes); err != nil {
		return nil, err
	}
	for _, change := range changes {
		if change.Note != "" {
			hidden = append(hidden, *change)
		}
	}
	return hidden, nil
}

func (s *scratch) patch(ctx context.Context, w io.Writer, changes []*Change) error {
	reader, writer := io.Pipe()
	compared := make(chan error, 1)
	go func() {
		err := s.compare(ctx, writer)
		_ = writer.CloseWithError(err)
		compared <- err
	}()
	out := bufio.NewWriterSize(w, 64<<10)
	err := rename(out, reader, changes)
	_ = reader.CloseWithError(err)
	if compareErr := <-compared; err == nil {
		err = compareErr
	}
	return errors.Join(err, out.Flush())
}

// Count counts the lines that came and went at and below the paths, and returns the
// changes there.
func (v *View) Count(ctx context.Context, paths []string) ([]Change, error) {
	changes, err := selected(v.changes, paths)
	if err != nil {
		return nil, err
	}
	made, err := v.materialise(ctx, changes)
	if err != nil {
		return nil, err
	}
	defer made.remove()
	var printed strings.Builder
	if err := made.compare(ctx, &printed, "--numstat"); err != nil {
		return nil, err
	}
	for line := range strings.Lines(printed.String()) {
		var lines Lines
		number, ok := numberOf(strings.TrimSpace(line), len(changes))
		if n, _ := fmt.Sscanf(line, "%d\t%d\t", &lines.Added, &lines.Deleted); ok && n == 2 {
			changes[number].Lines = &lines
		}
	}
	return values(changes), nil
}

// Select are the changes at and below the paths.
func (v *View) Select(paths []string) ([]Change, error) {
	changes, err := selected(v.changes, paths)
	return values(changes), err
}

// numberOf finds the number of the change that a line of git's ends with, but for
// what it says of a file that is gone.
func numberOf(line string, count int) (int, bool) {
	line = strings.TrimSuffix(line, " => /dev/null")
	digits := len(sideName(0))
	if len(line) < digits {
		return 0, false
	}
	number, err := strconv.Atoi(line[len(line)-digits:])
	return number, err == nil && number >= 0 && number < count
}
