package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/claude-bottle/claude-bottle/ledger"
	"golang.org/x/sys/unix"
)

// Entry is a file as a commit has it.
type Entry struct{ Mode, Object string }

const modeLink = "120000"

// files lists what a commit holds.
func (d *destination) files(ctx context.Context, commit string) (map[string]Entry, error) {
	tree := map[string]Entry{}
	if commit == "" {
		return tree, nil
	}
	out, err := d.git.Run(ctx, nil, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	for line := range bytes.SplitSeq(out, []byte{0}) {
		about, path, ok := strings.Cut(string(line), "\t")
		fields := strings.Fields(about)
		if ok && len(fields) == 3 {
			tree[path] = Entry{Mode: fields[0], Object: fields[2]}
		}
	}
	return tree, nil
}

// cover says which files of the workspace are at home, byte for byte: it looks at
// the bytes itself. A file that git converts on its way in, such as one of LFS, is
// not at home by its pointer. Of .git itself whole says whether all refs came; what
// holds work beside objects and refs is never covered.
func cover(ctx context.Context, work *backend.Work, mark archive.Baseline, tree map[string]Entry, whole bool) (func(path string) bool, error) {
	before, err := ledger.Saved(work)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	same := map[string]bool{}
	for path, state := range mark {
		entry, there := tree[path]
		if !there || before[path] == state || isGit(path) {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		same[path] = sameContent(root, path, entry)
	}
	return func(path string) bool {
		state, there := mark[path]
		switch {
		case !there: // nothing is left that could be lost
			return true
		case isGit(path):
			return whole && !besideObjects(path)
		default:
			return same[path] || state == archive.StateDirectory
		}
	}, nil
}

// touched takes objects into the mark as they are now: git touches those that it
// finds again. By themselves they are no work; refs are, and stay as they were.
func touched(ctx context.Context, work *backend.Work, mark archive.Baseline) error {
	const objects = ".git/objects"
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	below, err := root.OpenRoot(objects)
	if err != nil {
		return nil //nolint:nilerr // no repository of the usual form: then nothing is known of its objects
	}
	defer func() { _ = below.Close() }()
	files, err := archive.TakeBaseline(ctx, below)
	if err != nil {
		return err
	}
	for path, state := range files {
		mark[objects+"/"+path] = state
	}
	return nil
}

func isGit(path string) bool { return path == ".git" || strings.HasPrefix(path, ".git/") }

// besideObjects says that a path of .git holds work that no ref names.
func besideObjects(path string) bool {
	for _, dir := range []string{"lfs", "annex", "modules", "worktrees"} {
		if strings.HasPrefix(path, ".git/"+dir+"/") {
			return true
		}
	}
	return false
}

// sameContent says whether a file of the workspace is what git has under that name.
func sameContent(root *os.Root, path string, entry Entry) bool {
	if entry.Mode == modeLink {
		target, err := root.Readlink(path)
		return err == nil && entry.names(int64(len(target)), strings.NewReader(target))
	}
	file, err := root.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || sparse(info) {
		return false
	}
	return entry.names(info.Size(), file)
}

// names says that the entry is of this content.
func (e Entry) names(size int64, content io.Reader) bool {
	name, err := hostgit.BlobName(content, size, len(e.Object))
	return err == nil && name == e.Object
}

// sparse says that a file claims to be far larger than what it takes up: reading
// its holes could take for ever.
func sparse(info os.FileInfo) bool {
	const small = 64 << 20
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || info.Size() > small && stat.Blocks*512 < info.Size()/16
}
