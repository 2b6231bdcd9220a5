package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// askTop asks git about the repository of the working directory.
func (s *survey) askTop(ctx context.Context) error {
	git, err := gitIn(s.tree.Path, s.home)
	if err != nil {
		return err
	}
	if s.repository.history {
		s.tree.GitDir = ".git"
		if len(s.repository.roots) == 0 {
			s.tree.GitDir = path.Clean(s.repository.dir)
		}
	}
	if s.repository.history && !s.repository.bare {
		git.Env = append(git.Env, "GIT_WORK_TREE="+s.tree.Path) // whatever its settings say
	}
	var settings map[string]string
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		settings, err = effective(groupCtx, git, s.home)
		return err
	})
	group.Go(func() error {
		if s.repository.history {
			s.tree.Head, s.tree.Branch = headIn(groupCtx, git)
		}
		return nil
	})
	if !s.repository.bare {
		group.Go(func() error { return s.askFiles(groupCtx, git, "", s.repository.history) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("git can't read its repository: %w", explainGit(git, err))
	}
	if !s.repository.history {
		return nil
	}
	s.tree.AuthorName, s.tree.AuthorEmail = settings["user.name"], settings["user.email"]
	if isPartial(settings) {
		s.warn("the repository is a partial clone: objects that were never fetched are not on this host, and can't be had inside unless the remote's host is allowed. `git fetch --refetch --no-filter` makes it whole.")
	}
	s.askAlternates()
	s.keepGitDir()
	return s.askFilters(ctx, git, settings)
}

// askFiles asks which files of a repository are ignored and tracked.
func (s *survey) askFiles(ctx context.Context, git hostgit.Git, dir string, history bool) error {
	var ignored []string
	var tracked map[string]fileStat
	group, ctx := errgroup.WithContext(ctx)
	if !s.tree.IncludeIgnored {
		group.Go(func() (err error) {
			ignored, err = ignoredIn(ctx, git)
			return err
		})
	}
	if history {
		group.Go(func() (err error) {
			tracked, err = trackedIn(ctx, git)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, name := range ignored {
		s.judge.named[path.Join(dir, name)] = backend.ReasonIgnored
	}
	for name, stat := range tracked {
		s.tracked[path.Join(dir, name)] = stat
	}
	return nil
}

// askNested asks the repository of a directory in the tree: a submodule, a
// worktree, or just another clone.
func (s *survey) askNested(ctx context.Context, dir string) error {
	git, err := gitIn(filepath.Join(s.tree.Path, dir), s.home)
	if err != nil {
		return err
	}
	info, err := s.root.Lstat(path.Join(dir, ".git"))
	if err != nil {
		return nil //nolint:nilerr // it went away
	}
	_, inside := s.judge.git.link(path.Join(dir, ".git"))
	err = s.askFiles(ctx, git, dir, info.IsDir() || inside)
	var failed *hostgit.Error
	if errors.As(err, &failed) && ctx.Err() == nil {
		s.warn("git can't read the repository in %s: what it ignores is not known, and goes in.", backend.Printable(dir))
		return nil
	}
	return err
}

// askBottleIgnore looks for a .bottleignore in a directory, and what it and those
// below it name.
func (s *survey) askBottleIgnore(ctx context.Context, dir string) error {
	if _, err := s.root.Lstat(path.Join(dir, bottleIgnore)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("look at %s: %w", bottleIgnore, err)
	}
	git, err := gitIn(filepath.Join(s.tree.Path, dir), s.home)
	if err != nil {
		return err
	}
	listed, err := bottleIgnoredIn(ctx, git)
	if err != nil {
		return fmt.Errorf("read %s: %w", backend.Printable(path.Join(dir, bottleIgnore)), explainGit(git, err))
	}
	for _, name := range listed {
		s.judge.named[path.Join(dir, name)] = backend.ReasonBottleIgnore
	}
	return nil
}

func isPartial(settings map[string]string) bool {
	for key, value := range settings {
		if key == "extensions.partialclone" || strings.HasPrefix(key, "remote.") && strings.HasSuffix(key, ".promisor") && value == "true" {
			return true
		}
	}
	return false
}

// askAlternates sees whether the repository borrows objects.
func (s *survey) askAlternates() {
	root, dir := s.root, s.repository.dir
	if len(s.repository.roots) > 0 {
		root, dir = s.repository.roots[0], ""
	}
	text, err := archive.ReadSmall(root, path.Join(dir, "objects/info/alternates"), maxGitFile)
	if err != nil || strings.TrimSpace(string(text)) == "" {
		return // what can't be read is named by the walk
	}
	s.tree.Borrows = true
	if len(s.repository.roots) == 0 {
		s.judge.git.packed = dir
	}
}

// keepGitDir takes back that a git directory in the tree is ignored when it is
// called otherwise than .git.
func (s *survey) keepGitDir() {
	for dir := s.repository.dir; dir != ""; dir = parent(dir) {
		delete(s.judge.named, dir)
	}
}

// askFilters looks for files that git has in another form than they have here:
// the programs between the two stay on the host.
func (s *survey) askFilters(ctx context.Context, git hostgit.Git, settings map[string]string) error {
	if s.repository.bare {
		return nil
	}
	for _, driver := range filterDrivers(settings) {
		output, err := git.Run(ctx, nil, "ls-files", "-z", "--", ":(attr:filter="+driver+")")
		if err != nil {
			return fmt.Errorf("look for files of the filter %s: %w", backend.Printable(driver), err)
		}
		changed := slices.DeleteFunc(names(output), func(name string) bool { return s.isAsCommitted(driver, name) })
		if len(changed) == 0 {
			continue
		}
		if driver == "git-crypt" {
			for _, name := range changed {
				if !s.tree.IncludeSecrets {
					s.judge.named[name] = reasonDecrypted
				}
			}
			continue
		}
		s.warn("%d files pass the filter %s of this host, which does not go along: git inside takes them for changed, and would commit them as they are: %s", len(changed), driver, firstNames(changed))
	}
	return nil
}

// driverName is what may stand in a pathspec.
func driverName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !tokenRune(r) })
}

func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
}

func filterDrivers(settings map[string]string) []string {
	var list []string
	for key, value := range settings {
		rest, ok := strings.CutPrefix(key, "filter.")
		at := strings.LastIndexByte(rest, '.')
		if !ok || at < 0 || value == "" || !slices.Contains([]string{"clean", "smudge", "process"}, rest[at+1:]) {
			continue
		}
		if name := rest[:at]; driverName(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// isAsCommitted says that a file here is what git has: a pointer to a large file,
// or what is still encrypted.
func (s *survey) isAsCommitted(driver, name string) bool {
	begin := map[string]string{"lfs": "version https://git-lfs.github.com/spec/", "git-crypt": "\x00GITCRYPT\x00"}[driver]
	file, err := s.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return true // it is not here
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, len(begin))
	n, _ := file.Read(head)
	return begin != "" && string(head[:n]) == begin
}
