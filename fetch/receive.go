package fetch

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// quarantine is where objects lie until they are known to be good: a directory
// beside those of the repository, of a name that git's own prune clears away.
type quarantine struct {
	destination *destination
	root        *os.Root // the repository's objects
	name        string
	git         hostgit.Git
}

// newQuarantine makes one. The caller discards it.
func (d *destination) newQuarantine() (*quarantine, error) {
	root, err := os.OpenRoot(d.objects)
	if err != nil {
		return nil, fmt.Errorf("open objects of %s: %w", d.path, err)
	}
	if err := d.checkOwner(root); err != nil {
		_ = root.Close()
		return nil, err
	}
	q := &quarantine{destination: d, root: root, name: "tmp_objdir-bottle-" + strings.ToLower(rand.Text()), git: d.git}
	for _, dir := range []string{q.name, q.name + "/pack"} {
		err := root.Mkdir(dir, 0o700)
		if err == nil && d.git.Owner != nil {
			err = root.Lchown(dir, int(d.git.Owner.UID), int(d.git.Owner.GID))
		}
		if err != nil {
			q.discard()
			return nil, fmt.Errorf("make quarantine in %s: %w", d.objects, err)
		}
	}
	q.git.Env = append(slices.Clone(d.git.Env),
		"GIT_OBJECT_DIRECTORY="+filepath.Join(d.objects, q.name), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+quotePath(d.objects))
	return q, nil
}

// checkOwner refuses objects that the repository only points to, and that belong to
// somebody else: root would make directories there for its owner.
func (d *destination) checkOwner(objects *os.Root) error {
	info, err := objects.Stat(".")
	if err != nil {
		return fmt.Errorf("look at objects of %s: %w", d.path, err)
	}
	owner := os.Geteuid()
	if d.git.Owner != nil {
		owner = int(d.git.Owner.UID)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != owner {
		return fmt.Errorf("the objects of %s lie in %s and do not belong to its owner: name another repository with --into: %w",
			backend.Printable(d.path), backend.Printable(d.objects), errdefs.ErrFailedPrecondition)
	}
	return nil
}

// quotePath is how git wants a path in a list that colons part.
func quotePath(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

func (q *quarantine) discard() {
	_ = q.root.RemoveAll(q.name)
	_ = q.root.Close()
}

// take reads a pack. Broken objects, and those that are meant to make a later git
// do what nobody wants, are refused.
func (q *quarantine) take(ctx context.Context, pack *bufio.Reader, most int64, progress backend.Progress) error {
	strict := "--strict"
	if q.destination.partial {
		strict = "--fsck-objects" // links into what is only promised can't be followed
	}
	args := []string{"index-pack", "--stdin", "--fix-thin", strict, "--max-input-size=" + strconv.FormatInt(most, 10)}
	bounded := &packReader{from: pack, left: most, most: most, progress: progress}
	said, err := q.git.Run(ctx, bounded, args...)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case bounded.err != nil && !errors.Is(bounded.err, io.EOF):
		return bounded.err
	case err != nil:
		return fmt.Errorf("what the bottle sent is refused, %s has taken nothing of it: %w", q.destination.path, err)
	}
	// The end of the pack is the end of the session, which says how git ended. A
	// little more may have been swallowed; git passes on what it has read of it.
	switch _, err := pack.ReadByte(); {
	case err == nil || !packName().Match(said):
		return fmt.Errorf("%w: it goes on after its pack", errListing)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// packReader bounds a pack, and keeps why it broke off: git knows only that it did.
type packReader struct {
	from       io.Reader
	left, most int64
	progress   backend.Progress
	err        error
}

// packName is what git says of a pack that it took, and of nothing else.
var packName = pattern.Lazy(`^pack\t[0-9a-f]+\n$`)

// silentBytes come before there is anything to show.
const silentBytes = 4 << 20

// Read implements io.Reader.
func (r *packReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p[:min(int64(len(p)), r.left+1)])
	if r.left -= int64(n); r.left < 0 {
		err = fmt.Errorf("the bottle sends more than it may: --max-size says how much: %w", errdefs.ErrResourceExhausted)
	}
	if done := r.most - r.left; done > silentBytes {
		r.progress.Bytes("receiving objects", done, 0)
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// check wants what the refs name to be there, whole, down to what the host has.
func (q *quarantine) check(ctx context.Context, l *listing, refs []listedRef) error {
	there, err := kinds(ctx, q.git, l.objects())
	if err != nil {
		return err
	}
	for _, ref := range refs {
		kind := there[ref.object]
		if kind == "" {
			return fmt.Errorf("%w: %s is not in the pack", errListing, backend.Printable(ref.to))
		}
		if kind != "commit" && !strings.HasPrefix(ref.to, "tags/") {
			return fmt.Errorf("%w: %s is a %s", errListing, backend.Printable(ref.to), kind)
		}
	}
	var wanted strings.Builder
	for _, ref := range refs {
		_, _ = wanted.WriteString(ref.object + "\n")
	}
	args := []string{"rev-list", "--objects", "--stdin", "--not", "--all", "--quiet"}
	if q.destination.partial {
		args = slices.Insert(args, 1, "--exclude-promisor-objects")
	}
	_, err = q.git.Run(ctx, strings.NewReader(wanted.String()), args...)
	if err != nil {
		return fmt.Errorf("what the bottle sent is not whole, %s has taken nothing of it: %w", q.destination.path, err)
	}
	return nil
}

// release moves the objects to those of the repository. An index comes last: up to
// then git does not see its pack.
func (q *quarantine) release() error {
	dir, err := q.root.Open(path.Join(q.name, "pack"))
	if err != nil {
		return fmt.Errorf("open quarantine: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("list quarantine: %w", err)
	}
	slices.SortFunc(names, func(a, b string) int {
		if aLast, bLast := strings.HasSuffix(a, ".idx"), strings.HasSuffix(b, ".idx"); aLast != bLast {
			if aLast {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	if err := q.root.Mkdir("pack", 0o755); err == nil && q.git.Owner != nil {
		_ = q.root.Lchown("pack", int(q.git.Owner.UID), int(q.git.Owner.GID))
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "pack-") {
			continue
		}
		to := path.Join("pack", name)
		if _, err := q.root.Lstat(to); err == nil {
			continue // the very same objects came before
		}
		if err := q.root.Rename(path.Join(q.name, "pack", name), to); err != nil {
			return fmt.Errorf("take pack: %w", err)
		}
	}
	return q.syncPacks()
}

func (q *quarantine) syncPacks() error {
	dir, err := q.root.Open("pack")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sync packs: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync packs: %w", err)
	}
	return nil
}
