package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/hostgit"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// bottleIgnore is the name of the files that leave more out, in the syntax of
// .gitignore.
const bottleIgnore = ".bottleignore"

// gitIn is git in a directory, run by the owner of that.
func gitIn(dir, home string) (hostgit.Git, error) {
	owner, err := hostgit.OwnerOf(dir)
	return hostgit.Git{Dir: dir, Home: home, Owner: owner}, err
}

// explainGit explains a failure.
func explainGit(git hostgit.Git, err error) error {
	if errors.Is(err, fs.ErrPermission) && git.Owner != nil {
		return fmt.Errorf("git can't enter it as its owner, the user %d: the directories above must let that user through: %w", git.Owner.UID, err)
	}
	return err
}

// ignoredIn lists what git ignores in a directory of a repository. Nothing else
// knows all of its rules.
func ignoredIn(ctx context.Context, git hostgit.Git) ([]string, error) {
	output, err := git.Run(ctx, nil, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
	return names(output), err
}

// trackedIn lists what is in the index, with what the files were like when they
// were last known to be what the index says.
func trackedIn(ctx context.Context, git hostgit.Git) (map[string]fileStat, error) {
	output, err := git.Run(ctx, nil, "ls-files", "--cached", "--debug", "-z")
	if err != nil {
		return nil, err
	}
	return parseDebug(output), nil
}

// bottleIgnoredIn lists what the .bottleignore files of a directory and those
// below it name, tracked or not: git is asked in a repository that knows nothing.
func bottleIgnoredIn(ctx context.Context, git hostgit.Git) ([]string, error) {
	scratch, err := newScratchRepository(git.Owner, "")
	if err != nil {
		return nil, err
	}
	defer scratch.remove()
	git.Env = append(git.Env, "GIT_DIR="+scratch.dir, "GIT_WORK_TREE="+git.Dir)
	output, err := git.Run(ctx, nil, "ls-files", "--others", "--ignored", "--exclude-per-directory="+bottleIgnore, "--directory", "-z")
	return names(output), err
}

func names(output []byte) []string {
	var list []string
	for name := range bytes.SplitSeq(output, []byte{0}) {
		if len(name) > 0 {
			list = append(list, strings.TrimSuffix(string(name), "/"))
		}
	}
	return list
}

// fileStat is by what git tells that a file has not changed.
type fileStat struct {
	changed, modified unix.Timespec
	inode             uint32
	size              uint32
}

func statOf(stat unix.Stat_t) fileStat {
	return fileStat{changed: stat.Ctim, modified: stat.Mtim, inode: uint32(stat.Ino), size: uint32(stat.Size)}
}

// parseDebug reads what ls-files --debug -z prints. What it can't read counts as
// changed.
func parseDebug(output []byte) map[string]fileStat {
	tracked := map[string]fileStat{}
	for len(output) > 0 {
		name, rest, ok := bytes.Cut(output, []byte{0})
		if !ok {
			break
		}
		// ctime, mtime, dev, ino, uid, gid, size; then flags, to the end of the line.
		var numbers [9]int64
		for i := range numbers {
			numbers[i], rest = number(rest)
		}
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
		stat := fileStat{
			changed: unix.Timespec{Sec: numbers[0], Nsec: numbers[1]}, modified: unix.Timespec{Sec: numbers[2], Nsec: numbers[3]},
			inode: uint32(numbers[5]), size: uint32(numbers[8]),
		}
		tracked[string(name)] = stat
		output = rest
	}
	return tracked
}

// number reads the next decimal number.
func number(text []byte) (int64, []byte) {
	at := bytes.IndexAny(text, "0123456789")
	if at < 0 {
		return 0, nil
	}
	var n int64
	for at < len(text) && text[at] >= '0' && text[at] <= '9' {
		n = n*10 + int64(text[at]-'0')
		at++
	}
	return n, text[at:]
}

// effective reads the settings that hold in a directory. The user's own hold also
// where the directory's owner may not read them.
func effective(ctx context.Context, git hostgit.Git, home string) (map[string]string, error) {
	settings := map[string]string{}
	read := func(git hostgit.Git) error {
		output, err := git.Run(ctx, nil, "config", "--null", "--list", "--includes")
		if err != nil {
			return err
		}
		for _, setting := range settingsOf(output) {
			settings[setting[0]] = setting[1]
		}
		return nil
	}
	if git.Owner != nil {
		if err := read(hostgit.Git{Dir: "/", Home: home}); err != nil {
			return nil, err
		}
	}
	return settings, read(git)
}

// headIn finds what is checked out: without a commit yet that is a branch alone.
func headIn(ctx context.Context, git hostgit.Git) (commit, branch string) {
	group, ctx := errgroup.WithContext(ctx)
	said := func(into *string, args ...string) func() error {
		return func() error {
			// An exit code says that there is none.
			if output, err := git.Run(ctx, nil, args...); err == nil {
				*into = strings.TrimSpace(string(output))
			}
			return nil
		}
	}
	group.Go(said(&commit, "rev-parse", "--verify", "--quiet", "HEAD"))
	group.Go(said(&branch, "symbolic-ref", "--quiet", "--short", "HEAD"))
	_ = group.Wait()
	return commit, branch
}

// scratch is a directory for git to write into, which is gone afterwards.
type scratch struct {
	dir   string
	owner *hostgit.Owner
}

func newScratch(owner *hostgit.Owner) (*scratch, error) {
	dir, err := os.MkdirTemp("", "claude-bottle-git-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for git: %w", err)
	}
	s := &scratch{dir: dir, owner: owner}
	if err := s.own(dir); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// newScratchRepository makes a repository that has nothing but those settings.
func newScratchRepository(owner *hostgit.Owner, settings string) (_ *scratch, err error) {
	s, err := newScratch(owner)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"objects", "refs"} {
		err = errors.Join(err, s.mkdir(name))
	}
	if err = errors.Join(err, s.write("HEAD", []byte("ref: refs/heads/none\n")), s.write("config", []byte(settings))); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *scratch) own(path string) error {
	if s.owner == nil {
		return nil
	}
	if err := os.Lchown(path, int(s.owner.UID), int(s.owner.GID)); err != nil {
		return fmt.Errorf("make a directory for git: %w", err)
	}
	return nil
}

func (s *scratch) mkdir(name string) error {
	full := filepath.Join(s.dir, name)
	if err := os.Mkdir(full, 0o700); err != nil {
		return fmt.Errorf("make a directory for git: %w", err)
	}
	return s.own(full)
}

func (s *scratch) write(name string, content []byte) error {
	full := path.Join(s.dir, name)
	if err := os.WriteFile(full, content, 0o600); err != nil {
		return fmt.Errorf("write a file for git: %w", err)
	}
	return s.own(full)
}

func (s *scratch) remove() { _ = os.RemoveAll(s.dir) }
