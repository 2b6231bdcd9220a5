package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"golang.org/x/sys/unix"
)

// Bounds of what is read of a repository that the agent can write.
const (
	maxRefs       = 200_000
	maxRefFile    = 4 << 10
	maxPackedRefs = 64 << 20
)

// ofRepository are directories of a repository in which there is no other one.
var ofRepository = map[string]bool{"objects": true, "refs": true, "logs": true, "lfs": true, "hooks": true, "info": true}

// Ref is a name in a repository for an object.
type Ref struct {
	// Name is without refs/ and, of a branch, without heads/.
	Name string
	// Object is 40 or 64 hex digits.
	Object string
}

// readRefs reads the refs of the repository at the top of a workspace, without git:
// the loose ones, the packed ones, and HEAD when it names a commit itself; likewise
// those that submodules and worktrees keep in it. Those of remotes are left out, for
// they are elsewhere too. Without a repository there are
// none. What can't be read is an error, so that nobody takes it for nothing.
func readRefs(ctx context.Context, root *os.Root) ([]Ref, error) {
	info, err := root.Lstat(".git")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read refs: %w", err)
	}
	if !info.IsDir() {
		return nil, errors.New("read refs: .git is no directory")
	}
	if _, err := root.Lstat(".git/reftable"); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("read refs: they are in a reftable")
	}
	r := &refReader{found: map[string]string{}, left: maxPackedRefs}
	if err := r.repository(ctx, root, ".git", ""); err != nil {
		return nil, err
	}
	if _, err := root.Lstat(".git/HEAD"); err != nil {
		return nil, fmt.Errorf("read HEAD: %w", err)
	}
	for _, dir := range []string{".git/modules", ".git/worktrees"} { // ".git": no ref begins so
		if err := r.repositories(ctx, root, dir); err != nil {
			return nil, fmt.Errorf("read refs in %s: %w", dir, err)
		}
	}
	refs := make([]Ref, 0, len(r.found))
	for name, object := range r.found {
		refs = append(refs, Ref{Name: strings.TrimPrefix(name, "heads/"), Object: object})
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// refReader reads refs: how much packed ones may take is bounded for all together.
type refReader struct {
	found map[string]string
	left  int64
}

// repository reads the refs of the repository in that directory, which go below that
// name.
func (r *refReader) repository(ctx context.Context, root *os.Root, dir, below string) error {
	return errors.Join(r.packed(root, dir, below), r.loose(ctx, root, dir, below), r.heads(root, dir, below))
}

// heads reads what names a commit itself: HEAD when it is detached, and what git puts
// aside of uncommitted files for the end of a rebase or merge.
func (r *refReader) heads(root *os.Root, dir, below string) error {
	for _, name := range []string{"HEAD", "MERGE_AUTOSTASH", "rebase-merge/autostash", "rebase-apply/autostash"} {
		data, err := archive.ReadSmall(root, path.Join(dir, name), maxRefFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if text := strings.TrimSpace(string(data)); ledger.IsObjectName(text) {
			r.found[below+name] = text
		}
	}
	return nil
}

// repositories reads the refs of the repositories below dir: those of submodules, and
// what worktrees have for themselves.
func (r *refReader) repositories(ctx context.Context, root *os.Root, dir string) error {
	opened, err := root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	known := map[string]bool{}
	return archive.Walk(ctx, opened, func(entry archive.Entry) error {
		parent, name := path.Split(entry.Path)
		switch {
		case entry.IsDir() && known[parent] && ofRepository[name]:
			return archive.ErrSkip
		case name == "HEAD" && !entry.IsDir(): // before all that is in lower case
			known[parent] = true
			at := path.Join(dir, parent)
			return r.repository(ctx, root, at, at+"/")
		}
		return nil
	})
}

func (r *refReader) packed(root *os.Root, dir, prefix string) error {
	data, err := archive.ReadSmall(root, path.Join(dir, "packed-refs"), r.left)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read packed refs: %w", err)
	}
	r.left -= int64(len(data))
	for line := range strings.Lines(string(data)) {
		object, name, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "^") {
			continue
		}
		below, ok := strings.CutPrefix(name, "refs/")
		if !ok || !ledger.IsObjectName(object) || len(r.found) >= maxRefs {
			return errors.New("read packed refs: they are garbled, or too many")
		}
		if !strings.HasPrefix(below, "remotes/") {
			r.found[prefix+below] = object
		}
	}
	return nil
}

func (r *refReader) loose(ctx context.Context, root *os.Root, in, prefix string) error {
	dir, err := root.OpenFile(path.Join(in, "refs"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read refs: %w", err)
	}
	defer func() { _ = dir.Close() }()
	err = archive.Walk(ctx, dir, func(entry archive.Entry) error {
		switch {
		case entry.Path == "remotes":
			return archive.ErrSkip
		case entry.IsDir(), strings.HasSuffix(entry.Path, ".lock"):
			return nil
		case len(r.found) >= maxRefs:
			return errors.New("they are too many")
		}
		data, err := archive.ReadSmall(root, path.Join(in, "refs", entry.Path), maxRefFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(data))
		switch {
		case ledger.IsObjectName(text):
			r.found[prefix+entry.Path] = text
		case !strings.HasPrefix(text, "ref: "):
			return fmt.Errorf("%+q holds no object name", entry.Path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read refs: %w", err)
	}
	return nil
}

// WriteTips notes which objects the refs of the workspace name now: the host has
// them. A repository whose refs can't be read has none that is known.
func WriteTips(ctx context.Context, work *backend.Work) error {
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	refs, err := readRefs(ctx, root)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	names := make([]string, 0, len(refs))
	for _, ref := range refs {
		names = append(names, ref.Object)
	}
	return ledger.AddTips(work, names)
}

// Moved are the refs of the workspace that name objects which the host doesn't
// have.
func Moved(ctx context.Context, work *backend.Work) ([]Ref, error) {
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	refs, err := readRefs(ctx, root)
	if err != nil {
		return nil, err
	}
	known, err := ledger.Tips(work)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(refs, func(ref Ref) bool { return known[ref.Object] }), nil
}
