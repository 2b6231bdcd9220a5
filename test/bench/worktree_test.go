package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
)

// The repository has so many files, and at least as many objects, of which every
// tenth file's last version is loose: about as many as git leaves loose.
const (
	repositoryFiles   = 50_000
	repositoryObjects = 100_000
)

// TestWorkTree compares the way of a repository into a bottle, from the look at it
// before the plan to the last file, with git's and cp's own copies.
func TestWorkTree(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "bench") //nolint:usetesting // on a tmpfs
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	from := filepath.Join(dir, "from")
	if err := makeRepository(t, from); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "to")
	empty := func() error { return os.RemoveAll(to) }
	what := fmt.Sprintf("repository of %d files, tmpfs", repositoryFiles)
	for _, other := range []side{
		command("cp -a", func() *exec.Cmd { return exec.Command("cp", "-a", from, to) }),
		command("git clone --local", func() *exec.Cmd { return exec.Command("git", "clone", "-q", "--local", from, to) }),
	} {
		other.after = empty
		ours := side{name: "--cwd", do: func() error { return takeIn(t.Context(), dir, from, to) }, after: empty}
		compare(t, what, pairs(t), ours, other)
	}
	stream := side{name: "as a stream", do: func() error { return takeInto(t.Context(), dir, from, to, onlyStreams{directory(to)}) }, after: empty}
	compare(t, what, pairs(t), side{name: "--cwd", do: func() error { return takeIn(t.Context(), dir, from, to) }, after: empty}, stream)
}

// takeIn gathers and provisions a working directory.
func takeIn(ctx context.Context, home, from, to string) error {
	return takeInto(ctx, home, from, to, directory(to))
}

func takeInto(ctx context.Context, home, from, to string, target backend.Target) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	spec := backend.Spec{
		Manifest: &backend.Manifest{}, CopyCwd: true, Cwd: from, Home: filepath.Join(home, "home"),
		Lookup: func(string) (string, bool) { return "", false },
	}
	things, err := provision.Gather(ctx, spec)
	if err != nil {
		return err
	}
	defer func() { _ = things.Workspace.Close() }()
	if things.Workspace.Files < repositoryFiles {
		return fmt.Errorf("only %d files are planned", things.Workspace.Files)
	}
	_, err = provision.Provisioner{}.Provision(ctx, &backend.Plan{Workspace: things.Workspace}, target)
	return err
}

// directory is a target that fills a directory of the host.
type directory string

// Extract implements backend.Target.
func (d directory) Extract(ctx context.Context, _ backend.Place, tar io.Reader) error {
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, tar, d.options())
	return err
}

// CopyTree implements provision.TreeTarget.
func (d directory) CopyTree(ctx context.Context, _ backend.Place, from *os.File, options archive.PackOptions) error {
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Copy(ctx, from, dir, options, d.options())
	return err
}

// options give the copy away, as to a bottle's user.
func (directory) options() archive.Options { return archive.Options{UID: 4242, GID: 4242} }

// onlyStreams hides that a target takes trees.
type onlyStreams struct{ backend.Target }

// makeRepository makes two commits of packed objects and a third of loose ones,
// and checks it out.
func makeRepository(t *testing.T, dir string) error {
	git := func(stdin io.Reader, args ...string) ([]byte, error) {
		command := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
		command.Stdin = stdin
		said, err := command.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("git %v: %w: %s", args, err, said)
		}
		return said, err
	}
	if said, err := exec.Command("git", "init", "-q", "-b", "main", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("git init: %w: %s", err, said)
	}
	for i, config := range []string{"fastimport.unpackLimit=1", "fastimport.unpackLimit=1", "fastimport.unpackLimit=1000000"} {
		reader, writer := io.Pipe()
		go func() { _ = writer.CloseWithError(writeCommit(writer, i)) }()
		if _, err := git(reader, "-c", config, "fast-import", "--quiet"); err != nil {
			return err
		}
	}
	if _, err := git(nil, "reset", "-q", "--hard"); err != nil {
		return err
	}
	said, err := git(nil, "count-objects", "-v")
	if err != nil {
		return err
	}
	var loose, packed int
	for line := range bytes.Lines(said) {
		_, _ = fmt.Sscanf(string(line), "count: %d", &loose)
		_, _ = fmt.Sscanf(string(line), "in-pack: %d", &packed)
	}
	fmt.Printf("%d objects in packs, %d loose\n", packed, loose)
	if packed+loose < repositoryObjects || loose < repositoryFiles/10 {
		return errors.New("there are fewer objects than wanted")
	}
	return nil
}

// writeCommit writes one commit for git fast-import: of all files, and the third
// of every tenth.
func writeCommit(w io.Writer, number int) error {
	random := rand.New(rand.NewPCG(uint64(number), 3))
	buffered := bufio.NewWriter(w)
	from := ""
	if number > 0 {
		from = "from refs/heads/main^0\n"
	}
	_, _ = fmt.Fprintf(buffered, "commit refs/heads/main\ncommitter A <a@b.c> %d +0000\ndata 1\nx\n%s", 1_700_000_000+number, from)
	for i := 0; i < repositoryFiles; i++ {
		if number == 2 && i%10 != 0 {
			continue
		}
		size := 20 + random.IntN(4<<10)
		switch {
		case number == 1 && i%1000 == 0:
			size = 1 << 20
		case number == 1 && i%10 == 1:
			size = random.IntN(64<<10) + 20
		}
		_, _ = fmt.Fprintf(buffered, "M 100644 inline package-%d/directory-%d/file-%d.go\ndata %d\n", i/400, i/20%20, i, size)
		line := fmt.Sprintf("%d %d ", number, i)
		for left := size; left > 0; {
			text := line
			if len(text) < left {
				text += fmt.Sprintf("%016x\n", random.Uint64())
			}
			text = text[:min(left, len(text))]
			left -= len(text)
			line = ""
			_, _ = buffered.WriteString(text)
		}
		_ = buffered.WriteByte('\n')
	}
	return buffered.Flush()
}
