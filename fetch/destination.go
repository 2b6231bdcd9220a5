package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// destination is the host's repository that work comes home to. Nothing is ever
// written there but objects, refs below refs/bottle/ and their reflogs.
type destination struct {
	git     hostgit.Git
	path    string // as the user calls it
	objects string // directory
	format  string // sha1 or sha256
	partial bool   // some objects are only promised
	refs    string // refs/bottle/NAME/
}

// openDestination finds the repository, which may be bare, or a linked worktree.
func openDestination(ctx context.Context, path string, work *backend.Work, limits limits) (*destination, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("open repository (--into names another): %w", err)
	}
	if err := notABottles(work, path, resolved); err != nil {
		return nil, err
	}
	owner, err := ownerOf(path, resolved)
	if err != nil {
		return nil, err
	}
	d := &destination{path: path, refs: "refs/bottle/" + work.ID.Name + "/"}
	d.git = hostgit.Git{Dir: resolved, Owner: owner, Timeout: fetchTotal, Memory: limits.memory, Config: []string{
		// What bounds memory, and what makes a ref outlive a power cut.
		"core.packedGitWindowSize=32m", "core.packedGitLimit=512m", "core.bigFileThreshold=64m", "pack.threads=2", "core.fsync=all",
	}}
	common, err := d.ask(ctx, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, notARepository(path, err)
	}
	if d.objects, err = d.ask(ctx, "rev-parse", "--path-format=absolute", "--git-path", "objects"); err != nil {
		return nil, err
	}
	if d.format, err = d.ask(ctx, "rev-parse", "--show-object-format"); err != nil {
		return nil, err
	}
	// Its .git may be a file or a link that leads into a bottle.
	if err := notABottles(work, path, common, d.objects); err != nil {
		return nil, err
	}
	if d.git.Owner, err = ownerOf(path, common); err != nil {
		return nil, err
	}
	d.git.Dir = common
	d.git.Env = []string{"GIT_DIR=" + common, "GIT_COMMITTER_NAME=claude-bottle", "GIT_COMMITTER_EMAIL=claude-bottle@localhost"}
	_, err = d.git.Run(ctx, nil, "config", "--get-regexp", `^(extensions\.partialclone|remote\..*\.promisor)$`)
	if d.partial = err == nil; !d.partial && exitCodeOf(err) != 1 {
		return nil, err
	}
	return d, nil
}

// ownerOf is who runs git there: only root can be somebody else.
func ownerOf(path, dir string) (*hostgit.Owner, error) {
	owner, err := hostgit.OwnerOf(dir)
	if err == nil && owner != nil && os.Geteuid() != 0 {
		return nil, fmt.Errorf("%s belongs to somebody else: name a repository of your own with --into: %w", backend.Printable(path), errdefs.ErrPermissionDenied)
	}
	return owner, err
}

// notABottles refuses a repository that a bottle can write: no git of the host works
// in one.
func notABottles(work *backend.Work, path string, directories ...string) error {
	for _, dir := range directories {
		resolved, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return fmt.Errorf("open repository: %w", err)
		}
		among, err := work.Among(resolved)
		if err != nil {
			return err
		}
		if among {
			return fmt.Errorf("%s belongs to a bottle: name a repository of your own with --into: %w", backend.Printable(path), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func notARepository(path string, err error) error {
	if exitCodeOf(err) < 0 {
		return err
	}
	return fmt.Errorf("%s is no git repository, so branches can't come home to it: name one with --into, or take files with `claude-bottle diff`, `apply` or `cp`: %w",
		path, errors.Join(err, errdefs.ErrFailedPrecondition))
}

// exitCodeOf is the code that git ended with, or -1 when it did not come to that.
func exitCodeOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// ask returns the one line that git answers.
func (d *destination) ask(ctx context.Context, args ...string) (string, error) {
	out, err := d.git.Run(ctx, nil, args...)
	return strings.TrimSuffix(string(out), "\n"), err
}

// kinds asks which of the objects are there, and of what type. A name that is not
// there is missing in the answer.
func kinds(ctx context.Context, git hostgit.Git, names []string) (map[string]string, error) {
	out, err := git.Run(ctx, strings.NewReader(strings.Join(names, "\n")+"\n"), "cat-file", "--batch-check=%(objectname) %(objecttype)")
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(names))
	for line := range bytes.Lines(out) {
		name, kind, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		if ledger.IsObjectName(name) && kind != "missing" {
			found[name] = kind
		}
	}
	return found, nil
}

// ours are the refs that earlier fetches have made, by their names below d.refs.
func (d *destination) ours(ctx context.Context) (map[string]string, error) {
	out, err := d.git.Run(ctx, nil, "for-each-ref", "--format=%(objectname) %(refname)", d.refs)
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range bytes.Lines(out) {
		object, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		if short, ok := strings.CutPrefix(name, d.refs); ok {
			refs[short] = object
		}
	}
	return refs, nil
}

// MaxHaves bounds how many objects a bottle is told of.
const MaxHaves = 20_000

// haves are objects that both sides have: what the bottle has had from here, and
// what has come from it. It is told of no others.
func (d *destination) haves(ctx context.Context, books Books, work *backend.Work, ours map[string]string) ([]string, error) {
	tips, err := books.Tips(ctx)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(tips))
	if work.Plan != nil && work.Plan.Workspace != nil && ledger.IsObjectName(work.Plan.Workspace.Head) {
		names = append(names, work.Plan.Workspace.Head)
	}
	for _, object := range ours {
		names = append(names, object)
	}
	if len(names) == 0 {
		return nil, nil
	}
	names = names[:min(len(names), MaxHaves)]
	there, err := kinds(ctx, d.git, names)
	if err != nil {
		return nil, err
	}
	have := make([]string, 0, len(there))
	for name := range there {
		have = append(have, name)
	}
	return have, nil
}

// limits bound what a bottle can make the host do.
type limits struct {
	bytes  int64         // of the pack
	total  time.Duration // of all of it
	idle   time.Duration // without a word from inside
	memory uint64        // of one git, in bytes
}
