package provision

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"golang.org/x/sys/unix"
)

// survey is one look at a working directory while planning.
type survey struct {
	root       *os.Root
	home       string
	tree       backend.WorkTree
	repository repository
	judge      *judge
	// tracked is what git has, by path: of this repository and of those in it
	// whose history goes along.
	tracked map[string]fileStat
	scan    scan
	// secrets are the files that look like secrets and go along.
	secrets  []string
	warnings []string
}

func newSurvey(root *os.Root, dir string, spec backend.Spec) *survey {
	return &survey{
		root: root, home: spec.Home,
		tree:    backend.WorkTree{Path: dir, IncludeIgnored: spec.IncludeIgnored, IncludeSecrets: spec.IncludeSecrets},
		judge:   &judge{git: newGitDirectories(root, dir, gitWhole), named: map[string]string{}, secrets: spec.IncludeSecrets},
		tracked: map[string]fileStat{},
	}
}

func (s *survey) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// look does all of it.
func (s *survey) look(ctx context.Context) (err error) {
	if s.repository, err = findRepository(ctx, s.root, s.tree.Path, s.judge.git); err != nil {
		return err
	}
	s.warnings = append(s.warnings, s.repository.warnings...)
	s.tree.History = s.repository.paths
	s.judge.linked = len(s.repository.paths) > 0
	s.judge.git.move(s.repository.paths)
	if s.repository.is {
		if err := s.askTop(ctx); err != nil {
			return err
		}
	}
	if err := s.askBottleIgnore(ctx, ""); err != nil {
		return err
	}
	if err := s.walk(ctx, s.root, s.judge, "", s.visit); err != nil {
		return err
	}
	for i, judge := range historyJudges(s.tree, s.repository.roots) {
		if err := s.walk(ctx, s.repository.roots[i], judge, ".git/", nil); err != nil {
			return err
		}
	}
	found, err := s.scan.run(ctx, func(path string) ([]byte, error) { return archive.ReadSmall(s.root, path, maxScanned) })
	if err != nil {
		return err
	}
	s.judgeContents(found)
	s.markTracked()
	s.sayWhatIsOdd()
	return nil
}

// walk goes through one of the directories that the copy is made of, adding up
// what goes and naming what stays.
func (s *survey) walk(ctx context.Context, root *os.Root, judge *judge, prefix string, visit func(context.Context, archive.Entry) error) error {
	dir, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = dir.Close() }()
	return archive.Walk(ctx, dir, func(entry archive.Entry) error {
		if reason := judge.leaveOut(entry); reason != "" {
			if reason != skipSilently {
				s.tree.Omitted = append(s.tree.Omitted, backend.Omission{Path: prefix + entry.Path, Reason: reason})
			}
			return archive.ErrSkip
		}
		s.tree.Files++
		if entry.Kind() == unix.S_IFREG {
			s.tree.Bytes += entry.Stat.Size
		}
		if visit == nil {
			return nil
		}
		return visit(ctx, entry)
	})
}

// visit looks closer at an entry that goes.
func (s *survey) visit(ctx context.Context, entry archive.Entry) error {
	if _, _, ok := s.judge.git.within(entry.Path); ok {
		return nil
	}
	if secretLike(entry) {
		s.secrets = append(s.secrets, entry.Path)
	}
	if entry.IsDir() {
		if _, err := s.root.Lstat(path.Join(entry.Path, ".git")); err == nil {
			if err := s.askNested(ctx, entry.Path); err != nil {
				return err
			}
		}
		return s.askBottleIgnore(ctx, entry.Path)
	}
	// What git has, unchanged, is in the history anyway.
	if stat, ok := s.tracked[entry.Path]; !ok || stat != statOf(entry.Stat) {
		s.scan.add(entry)
	}
	return nil
}

// judgeContents leaves out what holds secrets.
func (s *survey) judgeContents(found map[string]string) {
	for _, file := range s.scan.files {
		rule, ok := found[file.path]
		switch {
		case !ok:
		case s.tree.IncludeSecrets:
			s.secrets = append(s.secrets, file.path)
		default:
			s.tree.Files--
			s.tree.Bytes -= file.size
			s.tree.Omitted = append(s.tree.Omitted, backend.Omission{Path: file.path, Reason: backend.ReasonSecret, Rule: rule})
		}
	}
	slices.SortFunc(s.tree.Omitted, func(a, b backend.Omission) int { return cmp.Compare(a.Path, b.Path) })
}

// markTracked finds what of the omitted git has.
func (s *survey) markTracked() {
	if len(s.tracked) == 0 {
		return
	}
	var paths []string // with a slash, so that a directory stands before what is in it
	for path := range s.tracked {
		paths = append(paths, path+"/")
	}
	slices.Sort(paths)
	for i := range s.tree.Omitted {
		omission := &s.tree.Omitted[i]
		at, _ := slices.BinarySearch(paths, omission.Path+"/")
		omission.Tracked = at < len(paths) && contains(omission.Path, paths[at][:len(paths[at])-1])
	}
}
