package change

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// MaxKnown bounds what WriteKnown writes, in bytes: files beyond it are copied.
const MaxKnown = 16 << 20

// Known are files that a user's repository has, by their paths. Their contents need not be
// kept beside the workspace: the user's own process reads them there.
type Known map[string]content

// name is the object of a file, if it is known as it is.
func (k Known) name(path string, is content) string {
	said, ok := k[path]
	if !ok || said.kind != keptBlob || !said.matches(archive.Past{Mode: is.mode, Size: is.size, Seconds: is.seconds, Nanos: is.nanos}) {
		return ""
	}
	return said.reference
}

// WriteKnown writes which files of a working directory its repository has as they are, for
// ReadKnown at the other end. goes says what goes in.
func WriteKnown(ctx context.Context, to io.Writer, tree *backend.WorkTree, goes func(archive.Entry) error) error {
	blobs, err := trackedFiles(ctx, tree.Path)
	if err != nil {
		return err
	}
	root, err := tree.Root().Open(".")
	if err != nil {
		return fmt.Errorf("look at what goes in: %w", err)
	}
	defer func() { _ = root.Close() }()
	w := &baseWriter{out: bufio.NewWriterSize(to, 64<<10)}
	w.printf("%s\n", baseHeader)
	left := MaxKnown - len(baseHeader) - len(baseEnd) - 32
	walk := func(entry archive.Entry) error {
		if err := goes(entry); err != nil {
			return err
		}
		if entry.Path == ".git" || strings.HasSuffix(entry.Path, "/.git") {
			return archive.ErrSkip
		}
		blob, ok := blobs[entry.Path]
		if !ok || entry.Kind() != unix.S_IFREG || blob.size != entry.Stat.Size {
			return nil
		}
		line := content{
			kind: keptBlob, mode: entry.Stat.Mode, size: entry.Stat.Size, seconds: entry.Stat.Mtim.Sec, nanos: entry.Stat.Mtim.Nsec, reference: blob.name,
		}.line(entry.Path)
		if left -= len(line) + 1; left >= 0 {
			w.printf("%s\n", line)
			w.count++
		}
		return w.err
	}
	if len(blobs) > 0 {
		err = archive.Walk(ctx, root, walk)
	}
	w.printf("%s %d\n", baseEnd, w.count)
	if err == nil {
		err = w.err
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("say what goes in: %w", err)
	}
	return nil
}

// ReadKnown reads what WriteKnown wrote. A lie in it costs the liar's own work.
func ReadKnown(from io.Reader) (Known, error) { return parseBase(io.LimitReader(from, MaxKnown)) }

// KeepBase keeps the contents of what has gone into a bottle, for diff and apply, as
// WriteBase does: but of what lies in the workspace, before claude comes, and without a look
// at where it is from.
func KeepBase(ctx context.Context, work *backend.Work, known Known) error {
	dir := work.Path(backend.StateBase)
	if err := os.MkdirAll(filepath.Join(dir, baseFiles), 0o700); err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	tree, err := os.OpenRoot(work.Place(backend.PlaceWorkspace))
	if err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	defer func() { _ = tree.Close() }()
	root, err := tree.Open(".")
	if err != nil {
		return fmt.Errorf("keep what goes in: %w", err)
	}
	defer func() { _ = root.Close() }()
	w := &baseWriter{tree: tree, dir: filepath.Join(dir, baseFiles), known: known, left: maxBase}
	return w.write(ctx, filepath.Join(dir, baseIndex), root, func(archive.Entry) error { return nil })
}
