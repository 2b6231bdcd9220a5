package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// maxNamed bounds the files and refs that are named.
const maxNamed = 20

// Unsaved compares the workspace with what went in, or came home since, from files
// of the host alone. When that can't be told, everything is taken for work: what
// was deleted can't be had back. The error is ctx's alone.
func Unsaved(ctx context.Context, work *backend.Work) (backend.Unsaved, error) {
	unsaved := backend.Unsaved{Workspace: work.Place(backend.PlaceWorkspace), Handle: work.ID.Handle()}
	err := look(ctx, work, &unsaved)
	if err == nil {
		return unsaved, nil
	}
	if ctx.Err() != nil {
		return unsaved, fmt.Errorf("compare workspace: %w", context.Cause(ctx))
	}
	files, countErr := countFiles(ctx, unsaved.Workspace)
	if countErr == nil && files == 0 {
		return backend.Unsaved{Workspace: unsaved.Workspace, Handle: unsaved.Handle}, nil // there is nothing to lose
	}
	unsaved.Changed, unsaved.Unknown = files, "what has changed can't be told: "+err.Error()
	return unsaved, nil
}

func look(ctx context.Context, work *backend.Work, unsaved *backend.Unsaved) error {
	root, err := os.OpenRoot(unsaved.Workspace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := appliesInFull(work); err != nil {
		return err
	}
	known, err := ledger.Saved(work)
	if err != nil {
		return err
	}
	inGit := 0
	changed := map[string]bool{}
	err = archive.Differ(ctx, root, known, func(name string) {
		below, inside := strings.CutPrefix(name, ".git/")
		if inside || name == ".git" { // which readRefs wants to be a directory
			inGit++
			if !bookkeeping(below) && !content(below) {
				unsaved.Other++
			}
		}
		if !inside && name != ".git" || content(below) {
			changed[name] = true
		}
	})
	nameChanged(changed, unsaved)
	if err != nil {
		return err
	}
	err = lookAtRefs(ctx, work, unsaved)
	if err != nil && inGit == 0 && ctx.Err() == nil {
		return nil //nolint:nilerr // no file has changed, so no ref has
	}
	return err
}

// appliesInFull says that no apply was cut: what it has put aside of the user's files
// is found by what lies in here.
func appliesInFull(work *backend.Work) error {
	_, err := os.Lstat(filepath.Join(work.Path(backend.StateApply), backend.ApplyJournal))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(errors.New("an apply is under way or was cut: the next one undoes that"), err)
}

// content says that a file of .git holds content that is no object: what the files of
// large-file stores stand for.
func content(below string) bool {
	return strings.HasPrefix(below, "lfs/objects/") || strings.HasPrefix(below, "annex/objects/")
}

// nameChanged counts and names what has changed. A directory is told by what has
// changed in it.
func nameChanged(changed map[string]bool, unsaved *backend.Unsaved) {
	around := map[string]bool{}
	for name := range changed {
		around[path.Dir(name)] = true
	}
	for name := range changed {
		if !around[name] {
			unsaved.Paths = append(unsaved.Paths, name)
		}
	}
	slices.Sort(unsaved.Paths)
	unsaved.Changed = len(unsaved.Paths)
	unsaved.Paths = slices.Clone(unsaved.Paths[:min(maxNamed, len(unsaved.Paths))])
}

// bookkeeping says that a file of .git holds no work, nor leads to any that refs
// and objects don't.
func bookkeeping(below string) bool {
	switch below {
	case "ORIG_HEAD", "FETCH_HEAD", "COMMIT_EDITMSG", "description", "logs", "gc.log", "gc.pid":
		return true
	}
	return strings.HasPrefix(below, "logs/")
}

func lookAtRefs(ctx context.Context, work *backend.Work, unsaved *backend.Unsaved) error {
	moved, err := Moved(ctx, work)
	if err != nil {
		return err
	}
	for _, ref := range moved[:min(maxNamed, len(moved))] {
		unsaved.Refs = append(unsaved.Refs, ref.Name)
	}
	if len(moved) > 0 {
		unsaved.Commits = counted(work, moved)
	}
	return nil
}

// CountCommits is the question for git inside, which answers with how many commits
// the moved refs have that the host doesn't: arguments, and what they read.
func CountCommits(work *backend.Work, moved []Ref) (argv []string, stdin io.Reader, err error) {
	known, err := ledger.Tips(work)
	if err != nil {
		return nil, nil, err
	}
	var lines strings.Builder
	for _, ref := range moved {
		lines.WriteString(ref.Object + "\n")
	}
	for name := range known {
		lines.WriteString("^" + name + "\n")
	}
	return []string{"git", "--no-optional-locks", "rev-list", "--count", "--ignore-missing", "--stdin"}, strings.NewReader(lines.String()), nil
}

// NoteCommits keeps the answer for as long as the refs stay where they are.
func NoteCommits(work *backend.Work, moved []Ref, count int) error {
	err := ledger.WriteFile(work.Path(backend.StateCommits), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d %s\n", count, fingerprint(moved))
		return err
	})
	if err != nil {
		return fmt.Errorf("note commits: %w", err)
	}
	return nil
}

// counted reads the answer, -1 when it is another question's.
func counted(work *backend.Work, moved []Ref) int {
	data, err := os.ReadFile(work.Path(backend.StateCommits))
	if err != nil {
		return -1
	}
	var (
		count int
		of    string
	)
	if _, err := fmt.Sscanf(string(data), "%d %s", &count, &of); err != nil || of != fingerprint(moved) || count < 0 {
		return -1
	}
	return count
}

func fingerprint(refs []Ref) string {
	objects := make([]string, 0, len(refs))
	for _, ref := range refs {
		objects = append(objects, ref.Object)
	}
	slices.Sort(objects)
	sum := sha256.Sum256([]byte(strings.Join(objects, "\n")))
	return hex.EncodeToString(sum[:])
}

// countFiles counts what lies below a directory; one that is not there is empty.
func countFiles(ctx context.Context, path string) (count int, err error) {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = dir.Close() }()
	err = archive.Walk(ctx, dir, func(archive.Entry) error { count++; return nil })
	return count, err
}

// Disk is how many bytes of the disk the state of a bottle takes. What is shared
// with other files counts as if it were not.
func Disk(ctx context.Context, work *backend.Work) (int64, error) {
	dir, err := os.Open(work.State)
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", work.Handle(), err)
	}
	defer func() { _ = dir.Close() }()
	var total int64
	err = archive.Walk(ctx, dir, func(entry archive.Entry) error {
		total += entry.Stat.Blocks * 512
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", work.Handle(), err)
	}
	return total, nil
}
