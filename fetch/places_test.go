package fetch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// into fetches into another repository.
func (l *lamp) into(dir string) (*Fetched, error) {
	return Fetch(l.Context(), l, l.work, Options{Into: dir})
}

func TestTheDestinationMayBeBareOrAWorktreeOrShallow(t *testing.T) {
	l := newLamp(t)
	l.git("commit", "-q", "--allow-empty", "-m", "second")
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish")
	beside := filepath.Dir(l.host)
	l.git("worktree", "add", "-q", filepath.Join(beside, "tree"))
	l.git("clone", "-q", "--bare", l.host, filepath.Join(beside, "bare"))
	l.git("clone", "-q", "--depth", "1", "file://"+l.host, filepath.Join(beside, "shallow"))
	l.git("init", "-q", filepath.Join(beside, "empty"))
	for _, name := range []string{"tree", "bare", "shallow", "empty"} {
		dir := filepath.Join(beside, name)
		if _, err := l.into(dir); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := l.git("-C", dir, "log", "--format=%s", "-1", "refs/bottle/lamp/heads/main"); got != "wish" {
			t.Errorf("%s has %q", name, got)
		}
		l.git("-C", dir, "fsck")
	}
}

func TestWhatNoWorkCanComeToIsRefused(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	beside := filepath.Dir(l.host)
	l.git("init", "-q", "--object-format=sha256", filepath.Join(beside, "other"))
	for dir, want := range map[string]string{
		l.workspace():                     "belongs to a bottle",
		l.home:                            "no git repository",
		filepath.Join(beside, "none"):     "--into",
		filepath.Join(beside, "other"):    "fetch into one of the same kind",
		filepath.Join(l.host, "tracked"):  "",
		l.workspace() + "/../workspace/.": "belongs to a bottle",
	} {
		if _, err := l.into(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	l.agent("git checkout -q --detach; git branch -q -D main; rm -rf .git")
	if _, err := l.fetch(); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "cp") {
		t.Errorf("without a repository inside: %v", err)
	}
}

func TestT17_NoGitOfTheHostWorksInABottlesRepository(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	beside := filepath.Dir(l.host)
	file, link, objects := filepath.Join(beside, "file"), filepath.Join(beside, "link"), filepath.Join(beside, "objects")
	l.git("init", "-q", objects)
	store := filepath.Join(objects, ".git", "objects")
	err := errors.Join(
		os.MkdirAll(file, 0o700), os.WriteFile(filepath.Join(file, ".git"), []byte("gitdir: "+l.workspace()+"/.git\n"), 0o600),
		os.MkdirAll(link, 0o700), os.Symlink(l.workspace()+"/.git", filepath.Join(link, ".git")),
		os.RemoveAll(store), os.Symlink(l.workspace()+"/.git/objects", store),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, link, objects} {
		if _, err := l.into(dir); err == nil || !strings.Contains(err.Error(), "belongs to a bottle") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestT17_NothingIsWrittenWhereTheRepositoryOnlyPoints(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish")
	// Another user's repository, whose objects are said to lie in a directory of root's.
	theirs, store := filepath.Join(filepath.Dir(l.host), "theirs"), t.TempDir()
	l.git("clone", "-q", "--bare", l.host, theirs)
	err := errors.Join(
		os.Rename(filepath.Join(theirs, "objects"), filepath.Join(store, "objects")),
		os.Symlink(filepath.Join(store, "objects"), filepath.Join(theirs, "objects")),
		filepath.WalkDir(theirs, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, stranger, stranger))
		}),
	)
	for dir := store; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if dir != "/tmp" {
			err = os.Chmod(dir, 0o755) //nolint:gosec // the stranger passes
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	before := sum(t, store)
	if _, err := l.into(theirs); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("it is taken: %v", err)
	}
	if sum(t, store) != before {
		t.Error("something was written")
	}
}

func TestAShallowBottleComesHomeWhereItsHistoryIs(t *testing.T) {
	l := newLamp(t)
	l.git("commit", "-q", "--allow-empty", "-m", "second")
	whole := l.host
	shallow := filepath.Join(filepath.Dir(l.host), "shallow")
	l.git("clone", "-q", "--depth", "1", "file://"+whole, shallow)
	l.host = shallow
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish")
	l.mustFetch()
	if _, err := l.into(whole); err != nil {
		t.Errorf("into the repository that has its history: %v", err)
	}
	empty := filepath.Join(filepath.Dir(whole), "empty")
	l.git("init", "-q", empty)
	if _, err := l.into(empty); err == nil || !strings.Contains(err.Error(), "shallow") {
		t.Errorf("into one that has not: %v", err)
	}
}

func TestAPartialDestinationTakesWork(t *testing.T) {
	l := newLamp(t)
	l.git("config", "uploadpack.allowFilter", "true")
	partial := filepath.Join(filepath.Dir(l.host), "partial")
	l.git("clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+l.host, partial)
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish")
	if _, err := l.into(partial); err != nil {
		t.Fatal(err)
	}
	if got := l.git("-C", partial, "show", "refs/bottle/lamp/heads/main:tracked"); got != "went in\nwish" {
		t.Errorf("tracked is %q", got)
	}
}

func TestSHA256RepositoriesWork(t *testing.T) {
	l := newLamp(t)
	if err := os.RemoveAll(filepath.Join(l.host, ".git")); err != nil {
		t.Fatal(err)
	}
	l.git("init", "-q", "--object-format=sha256", "-b", "main")
	l.git("add", "-A")
	l.git("commit", "-q", "-m", "went in")
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish; echo dirty >dirty")
	if fetched := l.mustFetch(); fetched.how() != "heads/main new, uncommitted new" || fetched.Left > 0 {
		t.Errorf("fetched %+v", fetched)
	}
}

func TestARepositoryWithoutCommitsAndABareOneComeHome(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent("rm -rf .git; git init -q; echo new >new")
	fetched := l.mustFetch()
	if fetched.how() != "uncommitted new" || l.git("show", "refs/bottle/lamp/uncommitted:new") != "new" {
		t.Errorf("fetched %+v", fetched)
	}
	l.agent("rm -rf .git * .gitignore; git init -q --bare -b bare .; git commit-tree -m x $(git mktree </dev/null) >c; git update-ref refs/heads/bare $(cat c)")
	if fetched := l.mustFetch(); !strings.Contains(fetched.how(), "heads/bare new") {
		t.Errorf("of a bare one came %+v", fetched)
	}
}

func TestOtherRepositoriesAndConvertedFilesAreNotTakenForSaved(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent(`git init -q embedded; git -C embedded commit -q --allow-empty -m x; echo lost >embedded/file
git init -q unborn; echo lost too >unborn/file
git config filter.pointer.clean "echo pointer"; echo '*.big filter=pointer' >.gitattributes; echo content >file.big; echo plain >plain
git worktree add -q side; echo beside >side/beside`)
	fetched := l.mustFetch()
	if !slices.Equal(fetched.Nested, []string{"embedded", "side", "unborn"}) {
		t.Errorf("repositories within are %v", fetched.Nested)
	}
	if !slices.Contains(fetched.LeftPaths, "file.big") || slices.Contains(fetched.LeftPaths, "plain") {
		t.Errorf("left are %v", fetched.LeftPaths)
	}
	saved, err := ledger.Saved(l.work)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"embedded/file", "unborn/file", "file.big", "side/beside"} {
		if _, there := saved[path]; there {
			t.Errorf("%s counts as saved", path)
		}
	}
	if _, there := saved["plain"]; !there {
		t.Error("what came counts as unsaved")
	}
	l.agent(`git config filter.pointer.clean false; git config filter.pointer.required true; echo again >>file.big`)
	fetched = l.mustFetch()
	if got := l.git("show", "refs/bottle/lamp/uncommitted:file.big"); got != "content\nagain" || slices.Contains(fetched.LeftPaths, "file.big") {
		t.Errorf("with a filter that fails file.big is %q, left are %v", got, fetched.LeftPaths)
	}
}

func TestT19_NamesThatAreTrapsAreLeftAndNamed(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent(`echo wish >>tracked; git commit -qam wish
for name in Feature feature a/b 'esc` + "\u202e" + `ape' ok; do git update-ref refs/heads/$name HEAD; done
printf '%s refs/heads/-option\n' "$(git rev-parse HEAD)" >>.git/packed-refs
git update-ref refs/bisect/bad HEAD`)
	fetched := l.mustFetch()
	var skipped []string
	for _, ref := range fetched.Skipped {
		skipped = append(skipped, ref.Name)
	}
	if !slices.Contains(skipped, "heads/feature") || !slices.Contains(skipped, "heads/-option") || !slices.Contains(skipped, "heads/esc\u202eape") || slices.Contains(skipped, "heads/ok") {
		t.Errorf("skipped are %+v", fetched.Skipped)
	}
	if !strings.Contains(fetched.how(), "heads/ok new") {
		t.Errorf("came: %s", fetched.how())
	}
	// The host has a/b by now.
	l.agent("rm .git/packed-refs; git update-ref -d refs/heads/a/b; git update-ref refs/heads/a HEAD; git update-ref -d refs/heads/feature")
	fetched = l.mustFetch()
	if !slices.ContainsFunc(fetched.Skipped, func(ref Skipped) bool { return ref.Name == "heads/a" && strings.Contains(ref.Reason, "directory") }) {
		t.Errorf("skipped are %+v", fetched.Skipped)
	}
}

func TestNamesOfRefs(t *testing.T) {
	for name, good := range map[string]bool{
		"heads/main": true, "heads/a/b.c": true, "tags/v1": true, "notes/commits": true, "HEAD": true, "stash": true, "stash-1": true, "uncommitted": true,
		"heads/": false, "heads": false, "remotes/x/y": false, "heads/a..b": false, "heads/.a": false, "heads/a/.b": false, "heads/a.lock": false,
		"heads/a.lock/b": false, "heads/-a": false, "heads/a b": false, "heads/a\tb": false, "heads/a~1": false, "heads/a^": false, "heads/a:b": false,
		"heads/a?": false, "heads/*": false, "heads/[": false, `heads/\`: false, "heads/@{1}": false, "heads/@": false, "heads/a.": false, "heads//a": false,
		"heads/a/": false, "heads/\x7f": false, "heads/\xff": false, "heads/../../HEAD": false, "heads/" + strings.Repeat("a", 200): false, "stash-1/x": false,
	} {
		if got := wrongName(name); (got == "") != good {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestWhatComesBelongsToTheOwnerOfTheRepository(t *testing.T) {
	const owner = 4711
	l := newLamp(t)
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish; git tag v1")
	err := filepath.WalkDir(l.host, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	})
	if err != nil {
		t.Fatal(err)
	}
	l.mustFetch()
	err = filepath.WalkDir(l.host, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if stat, ok := info.Sys().(*syscall.Stat_t); err == nil && (!ok || stat.Uid != owner || stat.Gid != owner) {
			t.Errorf("%s belongs to %d", path, stat.Uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(l.host, ".git/refs/bottle/lamp/heads/main")); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(l.work.Path(backend.StateTips)); err != nil || strings.Count(string(data), "\n") != 1 {
		t.Errorf("tips are %q, %v", data, err)
	}
}

func TestF27_AFullDestinationTakesNothingAndLosesNothing(t *testing.T) {
	l := newLamp(t)
	full := filepath.Join(filepath.Dir(l.host), "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer func() { _ = unix.Unmount(full, unix.MNT_DETACH) }()
	l.git("clone", "-q", l.host, filepath.Join(full, "host"))
	l.goIn()
	l.agent("head -c 3000000 /dev/urandom >large; git add large; git commit -qm large")
	before := sum(t, full)
	if _, err := l.into(filepath.Join(full, "host")); err == nil || !strings.Contains(err.Error(), full) || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("a full destination: %v", err)
	}
	if sum(t, full) != before {
		t.Error("it has changed")
	}
	if _, err := os.Stat(l.work.Path(backend.StateSaved)); err == nil {
		t.Error("something counts as saved")
	}
	l.mustFetch()
	l.git("cat-file", "-e", "refs/bottle/lamp/heads/main:large")
}

func TestT21_ARepositoryThatWasMovedIsNothingButFiles(t *testing.T) {
	l := newLamp(t)
	canary := l.canary()
	l.goIn()
	l.agent("echo wish >>tracked; git commit -qam wish; mv .git moved; mkdir -p .git/hooks; for h in post-checkout pre-commit post-index-change; do cp " + canary + " .git/hooks/$h; done")
	before := sum(t, l.host)
	if _, err := l.fetch(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without a repository: %v", err)
	}
	if sum(t, l.host) != before {
		t.Error("the host's repository has changed")
	}
	l.agent("git init -q -b other; git add -A; git commit -q --no-verify -m all")
	fetched := l.mustFetch()
	if fetched.how() != "heads/other new" || l.git("show", "refs/bottle/lamp/heads/other:moved/HEAD") != "ref: refs/heads/main" {
		t.Errorf("fetched %+v", fetched)
	}
	l.git("checkout", "-q", "-b", "theirs", "refs/bottle/lamp/heads/other")
	if _, err := os.Stat(canary + "-ran-0"); err == nil {
		t.Error("the canary sings")
	}
}
