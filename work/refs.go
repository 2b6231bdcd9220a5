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
	"github.com/claude-bottle/claude-bottle/work/ledger"
	"golang.org/x/sys/unix"
)

// Bounds of what is read of a repository that the agent can write.
const (
	maxRefs       = 200_000
	maxRefFile    = 4 << 10
	maxPackedRefs = 64 << 20
)

// Ref is a name in a repository for an object.
type Ref struct {
	// Name is without refs/ and, of a branch, without heads/.
	Name string
	// Object is 40 or 64 hex digits.
	Object string
}

// ReadRefs reads the refs of the repository at the top of a workspace, without git:
// the loose ones, the packed ones, and HEAD when it names a commit itself. Those of
// remotes are left out, for they are elsewhere too. Without a repository there are
// none. What can't be read is an error, so that nobody takes it for nothing.
func ReadRefs(ctx context.Context, root *os.Root) ([]Ref, error) {
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
	found := map[string]string{}
	if err := packedRefs(root, found); err != nil {
		return nil, err
	}
	if err := looseRefs(ctx, root, found); err != nil {
		return nil, err
	}
	head, err := archive.ReadSmall(root, ".git/HEAD", maxRefFile)
	if err != nil {
		return nil, fmt.Errorf("read HEAD: %w", err)
	}
	if text := strings.TrimSpace(string(head)); ledger.IsObjectName(text) {
		found["HEAD"] = text
	}
	refs := make([]Ref, 0, len(found))
	for name, object := range found {
		refs = append(refs, Ref{Name: strings.TrimPrefix(name, "heads/"), Object: object})
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

func packedRefs(root *os.Root, found map[string]string) error {
	data, err := archive.ReadSmall(root, ".git/packed-refs", maxPackedRefs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read packed refs: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		object, name, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "^") {
			continue
		}
		below, ok := strings.CutPrefix(name, "refs/")
		if !ok || !ledger.IsObjectName(object) || len(found) >= maxRefs {
			return errors.New("read packed refs: they are garbled, or too many")
		}
		if !strings.HasPrefix(below, "remotes/") {
			found[below] = object
		}
	}
	return nil
}

func looseRefs(ctx context.Context, root *os.Root, found map[string]string) error {
	dir, err := root.OpenFile(".git/refs", os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
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
		case len(found) >= maxRefs:
			return errors.New("they are too many")
		}
		data, err := archive.ReadSmall(root, path.Join(".git/refs", entry.Path), maxRefFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(data))
		switch {
		case ledger.IsObjectName(text):
			found[entry.Path] = text
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
	refs, err := ReadRefs(ctx, root)
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
	refs, err := ReadRefs(ctx, root)
	if err != nil {
		return nil, err
	}
	known, err := ledger.Tips(work)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(refs, func(ref Ref) bool { return known[ref.Object] }), nil
}
