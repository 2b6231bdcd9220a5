package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// gatherWorkTree looks at the working directory: what of it goes, and what stays
// on the host and why.
func gatherWorkTree(ctx context.Context, path, home string) (_ *backend.WorkTree, warnings []string, err error) {
	path, err = checkWorkTree(path, home)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open working directory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = root.Close()
		}
	}()
	repository, err := lookAtRepository(ctx, root, path, home)
	if err != nil {
		return nil, nil, fmt.Errorf("working directory %s: %w", path, err)
	}
	tree := backend.WorkTree{Path: path, Head: repository.head, Branch: repository.branch}
	if err := countTree(ctx, root, &tree, repository); err != nil {
		return nil, nil, fmt.Errorf("working directory %s: %w", path, err)
	}
	return backend.NewWorkTree(tree, root), repository.warnings, nil
}

// checkWorkTree refuses directories that hold more than a piece of work.
func checkWorkTree(path, home string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("open working directory: %w", err)
	}
	realHome := home
	if evaluated, err := filepath.EvalSymlinks(home); err == nil {
		realHome = evaluated
	}
	own := filepath.Join(realHome, ".claude-bottle")
	switch {
	case resolved == "/", contains(resolved, own):
		return "", fmt.Errorf("--cwd: %s holds your home directory or claude-bottle's own files: start from the directory of a project: %w", resolved, errdefs.ErrInvalidArgument)
	case contains(own, resolved), contains(filepath.Join(realHome, ".ssh"), resolved):
		return "", fmt.Errorf("--cwd: %s is private to the host: start from the directory of a project: %w", resolved, errdefs.ErrInvalidArgument)
	}
	return resolved, nil
}

// contains says that path is dir or lies below it.
func contains(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// countTree walks once, adding up what goes and naming what stays.
func countTree(ctx context.Context, root *os.Root, tree *backend.WorkTree, repository repository) error {
	dir, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = dir.Close() }()
	return archive.Walk(ctx, dir, func(entry archive.Entry) error {
		if reason := leaveOut(entry, repository.ignored); reason != "" {
			tree.Omitted = append(tree.Omitted, backend.Omission{Path: entry.Path, Reason: reason})
			return archive.ErrSkip
		}
		tree.Files++
		if entry.Kind() == unix.S_IFREG {
			tree.Bytes += entry.Stat.Size
		}
		return nil
	})
}

// packOptions apply at launch what countTree decided while planning; what has
// come since is judged by the same rules.
func packOptions(ctx context.Context, tree *backend.WorkTree) archive.PackOptions {
	planned := make(map[string]bool, len(tree.Omitted))
	for _, omission := range tree.Omitted {
		planned[omission.Path] = true
	}
	return archive.PackOptions{
		Visit: func(entry archive.Entry) error {
			if leaveOut(entry, planned) != "" {
				return archive.ErrSkip
			}
			return nil
		},
		Content: func(path string) ([]byte, bool, error) {
			if !isGitConfig(path) {
				return nil, false, nil
			}
			return scrubGitConfig(ctx, tree.Root(), path)
		},
	}
}

// leaveOut says why an entry stays on the host, or "".
func leaveOut(entry archive.Entry, ignored map[string]bool) string {
	switch entry.Kind() {
	case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFIFO:
		return "FIFO"
	default:
		return "device"
	}
	if ignored[entry.Path] {
		return "ignored by git"
	}
	if insideGit, reason := leaveOutOfGit(entry.Path); insideGit {
		return reason
	}
	if secretLike(entry) {
		return "looks like a secret"
	}
	return ""
}

// secretNames and secretDirectories are where credentials usually lie.
var (
	secretNames = []string{
		".env", ".envrc", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".pgpass", ".my.cnf", ".vault-token",
		".dockercfg", ".terraformrc", "credentials.json", "service-account.json", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
	}
	secretDirectories = []string{".ssh", ".gnupg", ".aws", ".azure", ".kube", ".gcloud"}
	secretEndings     = []string{".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk"}
	exampleEndings    = []string{".example", ".sample", ".template", ".dist"}
)

func secretLike(entry archive.Entry) bool {
	name := strings.ToLower(entry.Path[strings.LastIndexByte(entry.Path, '/')+1:])
	match := func(list []string, is func(s, of string) bool) bool {
		for _, known := range list {
			if is(name, known) {
				return true
			}
		}
		return false
	}
	same := func(s, of string) bool { return s == of }
	if entry.IsDir() {
		return match(secretDirectories, same)
	}
	if match(exampleEndings, strings.HasSuffix) {
		return false
	}
	return match(secretNames, same) || strings.HasPrefix(name, ".env.") || match(secretEndings, strings.HasSuffix)
}

// readSmall reads a regular file of the tree, without following a link and
// without waiting for a FIFO's other end.
func readSmall(root *os.Root, path string, most int64) ([]byte, error) {
	file, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s is larger than %s: %w", path, backend.Bytes(most), errdefs.ErrInvalidArgument)
	}
	data := make([]byte, info.Size())
	n, err := file.ReadAt(data, 0)
	if n < len(data) && err != nil {
		return nil, errors.Join(err)
	}
	return data, nil
}
