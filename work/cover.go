package work

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git's own name of an object
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// treeEntry is a file as a commit has it.
type treeEntry struct{ mode, object string }

const modeLink = "120000"

// files lists what a commit holds.
func (d *destination) files(ctx context.Context, commit string) (map[string]treeEntry, error) {
	tree := map[string]treeEntry{}
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
			tree[path] = treeEntry{mode: fields[0], object: fields[2]}
		}
	}
	return tree, nil
}

// cover says which files of the workspace are at home, byte for byte: it looks at
// the bytes itself. A file that git converts on its way in, such as one of LFS, is
// not at home by its pointer. Of .git itself whole says whether all refs came; what
// holds work beside objects and refs is never covered.
func cover(ctx context.Context, work *backend.Work, mark *Mark, tree map[string]treeEntry, whole bool) (func(path string) bool, error) {
	before, err := readSaved(work)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = root.Close() }()
	same := map[string]bool{}
	for path, state := range mark.files {
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
		state, there := mark.files[path]
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
func (m *Mark) touched(ctx context.Context, work *backend.Work) error {
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
		m.files[objects+"/"+path] = state
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
func sameContent(root *os.Root, path string, entry treeEntry) bool {
	if entry.mode == modeLink {
		target, err := root.Readlink(path)
		return err == nil && blobName(entry.object, int64(len(target)), strings.NewReader(target)) == entry.object
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
	return blobName(entry.object, info.Size(), file) == entry.object
}

// sparse says that a file claims to be far larger than what it takes up: reading
// its holes could take for ever.
func sparse(info os.FileInfo) bool {
	const small = 64 << 20
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || info.Size() > small && stat.Blocks*512 < info.Size()/16
}

// blobName is git's name of a blob of that size, by the kind of hash that like has;
// "" when the content is shorter or longer.
func blobName(like string, size int64, content io.Reader) string {
	sum := sha1.New() //nolint:gosec // git's own name of an object
	if len(like) == 2*sha256.Size {
		sum = sha256.New()
	}
	_, _ = io.WriteString(sum, "blob "+strconv.FormatInt(size, 10)+"\x00")
	if _, err := io.CopyN(sum, content, size); err != nil {
		return ""
	}
	if _, err := io.CopyN(io.Discard, content, 1); !errors.Is(err, io.EOF) {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}
