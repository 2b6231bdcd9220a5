package provision_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
)

// directory is a Target on disk: the workspace alone.
type directory string

func (d directory) Extract(ctx context.Context, place backend.Place, stream io.Reader) error {
	if place != backend.PlaceWorkspace {
		_, err := io.Copy(io.Discard, stream)
		return err
	}
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, stream, archive.Options{UID: os.Geteuid(), GID: os.Getegid()})
	return err
}

// inside is the copy of a working directory: what would be in the bottle.
type inside struct {
	*testing.T
	dir  string
	plan *backend.Plan
}

// enter copies the working directory.
func (u *user) enter() *inside {
	u.Helper()
	u.spec.CopyCwd, u.spec.Cwd = true, u.cwd
	things, err := u.gather()
	u.must(err)
	i := &inside{T: u.T, dir: filepath.Join(u.TempDir(), "workspace"), plan: &backend.Plan{Workspace: things.Workspace, Warnings: things.Warnings}}
	u.must(os.Mkdir(i.dir, 0o755))
	_, err = provision.Provisioner{}.Provision(u.Context(), i.plan, directory(i.dir))
	u.must(err)
	return i
}

// git runs git in the copy as the agent would: it knows nothing of the user.
func (i *inside) git(args ...string) string {
	i.Helper()
	return i.gitIn(".", args...)
}

func (i *inside) gitIn(dir string, args ...string) string {
	i.Helper()
	command := exec.CommandContext(i.Context(), "git", args...)
	command.Dir = filepath.Join(i.dir, dir)
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + i.TempDir(), "GIT_ALLOW_PROTOCOL=none", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(i.dir)}
	said, err := command.CombinedOutput()
	if err != nil {
		i.Errorf("git %v: %v: %s", args, err, said)
	}
	return strings.TrimSpace(string(said))
}

func (i *inside) omitted(path string) *backend.Omission {
	for _, omission := range i.plan.Workspace.Omitted {
		if omission.Path == path {
			return &omission
		}
	}
	return nil
}

// works checks what an agent needs of a repository.
func (i *inside) works(commits int) {
	i.Helper()
	if got := i.git("status", "--porcelain"); got != "" {
		i.Errorf("git status says:\n%s", got)
	}
	if got := len(strings.Fields(i.git("log", "--format=%H"))); got != commits {
		i.Errorf("%d commits, want %d", got, commits)
	}
	i.git("fsck", "--connectivity-only")
	i.must(os.WriteFile(filepath.Join(i.dir, "made.txt"), []byte("inside"), 0o600))
	i.git("add", "made.txt")
	i.git("commit", "-qm", "inside")
	if got := i.git("log", "-1", "--format=%an %ae"); got != "Aladdin aladdin@example.com" {
		i.Errorf("the author is %q", got)
	}
}

func (i *inside) must(err error) {
	i.Helper()
	if err != nil {
		i.Fatal(err)
	}
}

// commits makes a repository with three commits in dir and goes there.
func (u *user) commits(dir string, init ...string) string {
	u.Helper()
	u.cwd = filepath.Join(u.home, "src", dir)
	u.must(os.MkdirAll(u.cwd, 0o755))
	u.git(append([]string{"init", "-q", "-b", "main"}, init...)...)
	exclude := u.git("rev-parse", "--path-format=absolute", "--git-path", "info/exclude")
	u.must(os.WriteFile(exclude, []byte("/.repository\n"), 0o600))
	var stream strings.Builder
	for n, name := range []string{"a", "b", "c"} {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter a <a@b.c> %d +0000\ndata 1\n%s\n", 1700000000+n, name)
		for _, path := range []string{name + ".txt", "deep/down/" + name + ".txt"} {
			fmt.Fprintf(&stream, "M 100644 inline %s\ndata 1\n%s\n", path, name)
		}
	}
	u.must(os.WriteFile(filepath.Join(u.home, "stream"), []byte(stream.String()), 0o600))
	u.sh("git fast-import --quiet < \"$HOME/stream\" && git reset -q --hard")
	return u.cwd
}

// sh runs a shell as git runs git.
func (u *user) sh(script string) {
	u.Helper()
	command := exec.CommandContext(u.Context(), "sh", "-c", script)
	command.Dir, command.Env = u.cwd, []string{"PATH=/usr/bin:/bin", "HOME=" + u.home}
	if said, err := command.CombinedOutput(); err != nil {
		u.Fatalf("%s: %v: %s", script, err, said)
	}
}

// at goes to a directory below src.
func (u *user) at(dir string) { u.cwd = filepath.Join(u.home, "src", dir) }

func TestEveryKindOfRepositoryWorksInside(t *testing.T) {
	for name, row := range map[string]struct {
		commits int
		make    func(u *user)
		warned  string
	}{
		"ordinary": {3, func(u *user) { u.commits("x") }, ""},
		"packed, with tags and a detached HEAD": {2, func(u *user) {
			u.commits("x")
			u.git("tag", "-a", "-m", "t", "v1")
			u.git("gc", "-q")
			u.git("checkout", "-q", "HEAD~1")
		}, ""},
		"shallow": {1, func(u *user) {
			from := u.commits("from")
			u.git("clone", "-q", "--depth", "1", "file://"+from, "../x")
			u.at("x")
		}, ""},
		"partial clone": {3, func(u *user) {
			from := u.commits("from")
			u.git("config", "uploadpack.allowFilter", "true")
			u.git("rm", "-q", "a.txt")
			u.git("commit", "-q", "--amend", "-m", "c")
			u.git("clone", "-q", "--filter=blob:none", "file://"+from, "../x")
			u.at("x")
		}, "partial clone"},
		"linked worktree": {3, func(u *user) {
			u.commits("from")
			u.git("worktree", "add", "-q", "-b", "other", "../x")
			u.at("x")
		}, ""},
		"linked worktree of a bare repository": {3, func(u *user) {
			u.commits("from")
			u.git("clone", "-q", "--bare", ".", "../bare.git")
			u.at("bare.git")
			u.git("worktree", "add", "-q", "../x", "main")
			u.at("x")
		}, ""},
		"sparse linked worktree": {3, func(u *user) {
			u.commits("from")
			u.git("worktree", "add", "-q", "-b", "other", "../x")
			u.at("x")
			u.git("sparse-checkout", "set", "deep")
		}, ""},
		"borrowed objects": {3, func(u *user) {
			u.commits("from")
			u.git("clone", "-q", "--shared", ".", "../x")
			u.at("x")
		}, ""},
		"linked worktree with borrowed objects": {4, func(u *user) {
			u.commits("from")
			u.git("clone", "-q", "--shared", ".", "../middle")
			u.at("middle")
			u.git("commit", "-q", "--allow-empty", "-m", "own")
			u.git("worktree", "add", "-q", "-b", "other", "../x")
			u.at("x")
		}, ""},
		"submodule as the working directory": {3, func(u *user) {
			u.withSubmodule()
			u.cwd = filepath.Join(u.cwd, "part")
		}, ""},
		"linked worktree with a submodule": {4, func(u *user) {
			u.withSubmodule()
			u.git("worktree", "add", "-q", "-b", "other", "../y")
			u.at("y")
			u.git("submodule", "--quiet", "update", "--init")
		}, ""},
		"submodules inside": {4, func(u *user) { u.withSubmodule() }, ""},
		"sparse checkout": {3, func(u *user) {
			u.commits("x")
			u.git("sparse-checkout", "set", "deep")
		}, ""},
		"sha256":           {3, func(u *user) { u.commits("x", "--object-format=sha256") }, ""},
		"split index":      {3, func(u *user) { u.commits("x"); u.git("update-index", "--split-index") }, ""},
		"link in the tree": {3, func(u *user) { u.commits("x", "--separate-git-dir=.repository") }, ""},
		"symbolic link in the tree": {3, func(u *user) {
			u.commits("x")
			u.must(os.Rename(filepath.Join(u.cwd, ".git"), filepath.Join(u.cwd, ".repository")))
			u.must(os.Symlink(".repository", filepath.Join(u.cwd, ".git")))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n[protocol \"file\"]\n\tallow = always\n")
			row.make(u)
			i := u.enter()
			head := u.git("rev-parse", "HEAD")
			if i.plan.Workspace.Head != head {
				t.Errorf("HEAD in the plan is %q, want %q", i.plan.Workspace.Head, head)
			}
			if got := i.git("rev-parse", "HEAD"); got != head {
				t.Errorf("HEAD is %s, want %s", got, head)
			}
			i.works(row.commits)
			if strings.Contains(name, "submodule") && i.has("part") {
				if got := i.gitIn("part", "log", "--format=%s"); got != "c\nb\na" {
					t.Errorf("log of the submodule says %q", got)
				}
			}
			warned := strings.Join(i.plan.Warnings, "\n")
			if row.warned == "" && warned != "" || !strings.Contains(warned, row.warned) {
				t.Errorf("warnings are %q, want %q", warned, row.warned)
			}
		})
	}
}

// withSubmodule makes a repository with a submodule and goes there.
func (u *user) withSubmodule() {
	part := u.commits("part")
	u.commits("x")
	u.git("submodule", "--quiet", "add", "file://"+part, "part")
	u.git("commit", "-qm", "with a submodule")
}

func TestASubmoduleWorksInside(t *testing.T) {
	u := newUser(t)
	u.write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n[protocol \"file\"]\n\tallow = always\n")
	u.withSubmodule()
	i := u.enter()
	if got := i.gitIn("part", "log", "--format=%s"); got != "c\nb\na" {
		t.Errorf("log of the submodule says %q", got)
	}
	if got := i.gitIn("part", "rev-parse", "--show-toplevel"); got != filepath.Join(i.dir, "part") {
		t.Errorf("the submodule's worktree is %q", got)
	}
	if got := i.git("submodule", "status"); !strings.HasPrefix(got, u.git("rev-parse", ":part")) {
		t.Errorf("the submodule is %q", got)
	}
}

func TestARepositoryWithoutCommitsWorksInside(t *testing.T) {
	u := newUser(t)
	u.git("init", "-q", "-b", "first")
	u.write("home/src/project/a.txt", "a")
	i := u.enter()
	if i.plan.Workspace.Head != "" || i.plan.Workspace.Branch != "first" {
		t.Errorf("HEAD is %+v", i.plan.Workspace)
	}
	if got := i.git("status", "--porcelain", "--branch"); got != "## No commits yet on first\n?? a.txt" {
		t.Errorf("git status says %q", got)
	}
}

func TestABareRepositoryWorksInside(t *testing.T) {
	u := newUser(t)
	u.commits("from")
	u.git("clone", "-q", "--bare", ".", "../x")
	u.at("x")
	u.write("home/src/x/hooks/post-receive", "evil-canary")
	u.git("config", "http.extraHeader", "wish-canary")
	i := u.enter()
	if got := i.git("log", "--format=%s"); got != "c\nb\na" {
		t.Errorf("git log says %q", got)
	}
	i.lacks("canary")
	if i.plan.Workspace.GitDir != "." || i.plan.Workspace.Branch != "main" {
		t.Errorf("planned is %+v", i.plan.Workspace)
	}
}

func TestAWorktreeInsideTheTreeWorksInside(t *testing.T) {
	u := newUser(t)
	u.commits("x")
	u.git("worktree", "add", "-q", "-b", "near", "trees/near")
	u.git("worktree", "add", "-q", "-b", "far", "../far")
	i := u.enter()
	if got := i.gitIn("trees/near", "rev-parse", "--abbrev-ref", "HEAD"); got != "near" {
		t.Errorf("on %q", got)
	}
	if got := i.gitIn("trees/near", "status", "--porcelain"); got != "" {
		t.Errorf("status is %q", got)
	}
	link, err := os.ReadFile(filepath.Join(i.dir, ".git/worktrees/near/gitdir"))
	if err != nil || string(link) != "/workspace/trees/near/.git\n" {
		t.Errorf("gitdir is %q, %v", link, err)
	}
	if found := i.omitted(".git/worktrees/far"); found == nil {
		t.Errorf("left out are %v", i.plan.Workspace.Omitted)
	}
}

func TestABareRepositoryWithItsWorktreesBesideItWorksInside(t *testing.T) {
	u := newUser(t)
	u.commits("from")
	u.git("clone", "-q", "--bare", ".", "../x/.bare")
	u.at("x")
	u.write("home/src/x/.git", "gitdir: ./.bare\n")
	u.git("worktree", "add", "-q", "main")
	i := u.enter()
	if got := i.gitIn("main", "status", "--porcelain", "--branch"); got != "## main" {
		t.Errorf("status is %q", got)
	}
	if got := i.git("log", "--format=%s"); got != "c\nb\na" {
		t.Errorf("log is %q", got)
	}
}

func TestAClonesOwnIgnoreRulesHoldInside(t *testing.T) {
	u := newUser(t)
	u.commits("x/nested")
	u.write("home/src/x/nested/.gitignore", "build/\n")
	u.write("home/src/x/nested/build/out", "ignored")
	u.commits("x")
	i := u.enter()
	if found := i.omitted("nested/build"); found == nil || found.Reason != backend.ReasonIgnored {
		t.Errorf("left out are %v", i.plan.Workspace.Omitted)
	}
	if got := i.gitIn("nested", "log", "--format=%s"); got != "c\nb\na" {
		t.Errorf("git log says %q", got)
	}
}

// TestABrokenCloneInTheTreeDoesNotStandInTheWay, and still brings no credentials.
func TestABrokenCloneInTheTreeDoesNotStandInTheWay(t *testing.T) {
	u := newUser(t)
	u.write("home/src/project/testdata/broken/.git/config", "[remote \"x\"\n\turl = https://wish-canary@example.com/\n")
	u.write("home/src/project/testdata/broken/.git/HEAD", "?")
	i := u.enter()
	i.lacks("canary")
	if !i.has("testdata/broken/.git/HEAD") {
		t.Error("it did not come along")
	}
}

// lacks fails when a file of the copy holds the canary, packed objects unpacked.
func (i *inside) lacks(canary string) {
	i.Helper()
	i.must(filepath.WalkDir(i.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), canary) {
			i.Errorf("%s holds the canary:\n%s", path, data)
		}
		return err
	}))
}

// TestT18_AGitFileThatNamesAnothersRepositoryBringsNothing: a tree that somebody
// else made names a repository of the user's.
func TestT18_AGitFileThatNamesAnothersRepositoryBringsNothing(t *testing.T) {
	for name, plant := range map[string]func(u *user, private string){
		"file":             func(u *user, private string) { u.write("home/src/x/.git", "gitdir: "+private+"/.git\n") },
		"symbolic link":    func(u *user, private string) { u.must(os.Symlink(private+"/.git", filepath.Join(u.cwd, ".git"))) },
		"relative link":    func(u *user, _ string) { u.must(os.Symlink("../private/.git", filepath.Join(u.cwd, ".git"))) },
		"file of a subdir": func(u *user, private string) { u.write("home/src/x/sub/.git", "gitdir: "+private+"/.git\n") },
		"alternates": func(u *user, private string) {
			u.git("init", "-q")
			u.write("home/src/x/.git/objects/info/alternates", private+"/.git/objects\n")
		},
		"links in .git": func(u *user, private string) {
			u.git("init", "-q")
			u.must(os.RemoveAll(filepath.Join(u.cwd, ".git/objects")))
			u.must(os.Symlink(private+"/.git/objects", filepath.Join(u.cwd, ".git/objects")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			private := u.commits("private")
			u.at("x")
			u.must(os.MkdirAll(u.cwd, 0o755))
			plant(u, private)
			i := u.enter()
			u.cwd = private
			secret := u.git("rev-parse", "HEAD")
			look := exec.CommandContext(t.Context(), "git", "--git-dir=.git", "cat-file", "-e", secret)
			look.Dir = i.dir
			if said, err := look.CombinedOutput(); err == nil {
				t.Errorf("the private commit came along: %s", said)
			}
			if len(i.plan.Warnings) == 0 && len(i.plan.Workspace.Omitted) == 0 && !i.plan.Workspace.Borrows {
				t.Error("nothing is said")
			}
		})
	}
}

// TestT44_WhatIsSwappedAfterThePlanBringsNothing: between the yes and the copy,
// somebody puts another repository in the place of the one that was shown.
func TestT44_WhatIsSwappedAfterThePlanBringsNothing(t *testing.T) {
	for name, row := range map[string]struct {
		make, swap func(u *user, private string)
		want       string
	}{
		"shared repository": {
			func(u *user, _ string) { u.commits("from"); u.git("worktree", "add", "-q", "-b", "other", "../x") },
			func(u *user, private string) {
				u.must(os.Rename(filepath.Join(u.home, "src/from"), filepath.Join(u.home, "src/old")))
				u.must(os.Symlink(private, filepath.Join(u.home, "src/from")))
			}, "c\nb\na",
		},
		".git becomes a link": {
			func(u *user, _ string) { u.commits("x") },
			func(u *user, private string) {
				u.must(os.RemoveAll(filepath.Join(u.cwd, ".git")))
				u.must(os.Symlink(private+"/.git", filepath.Join(u.cwd, ".git")))
			}, "",
		},
		"config becomes a link": {
			func(u *user, _ string) { u.commits("x") },
			func(u *user, private string) {
				u.must(os.Remove(filepath.Join(u.cwd, ".git/config")))
				u.must(os.Symlink(private+"/.git/config", filepath.Join(u.cwd, ".git/config")))
			}, "c\nb\na",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			private := u.commits("private")
			u.git("commit", "-q", "--allow-empty", "-m", "wish-canary")
			u.git("config", "http.extraHeader", "wish-canary")
			row.make(u, private)
			u.at("x")
			u.spec.CopyCwd, u.spec.Cwd = true, u.cwd
			things, err := u.gather()
			u.must(err)
			row.swap(u, private)
			i := &inside{T: t, dir: t.TempDir(), plan: &backend.Plan{Workspace: things.Workspace}}
			_, err = provision.Provisioner{}.Provision(t.Context(), i.plan, directory(i.dir))
			u.must(err)
			i.lacks("canary")
			if row.want != "" {
				if got := i.git("log", "--format=%s"); got != row.want {
					t.Errorf("log says %q", got)
				}
			}
		})
	}
}

func TestADirectoryInsideARepositoryGoesWithoutHistory(t *testing.T) {
	u := newUser(t)
	top := u.commits("x")
	u.write("home/src/x/.gitignore", "*.log\n")
	u.write("home/src/x/deep/debug.log", "ignored")
	u.cwd = filepath.Join(u.cwd, "deep")
	i := u.enter()
	if found := i.omitted("debug.log"); found == nil || found.Reason != backend.ReasonIgnored {
		t.Errorf("left out are %v", i.plan.Workspace.Omitted)
	}
	if len(i.plan.Warnings) != 1 || !strings.Contains(i.plan.Warnings[0], top) {
		t.Errorf("warnings are %v", i.plan.Warnings)
	}
}

func TestARepositoryThatGitCantReadIsRefused(t *testing.T) {
	for name, plant := range map[string]func(u *user){
		"link to nothing": func(u *user) { u.write("home/src/project/.git", "gitdir: /nowhere\n") },
		"not a link":      func(u *user) { u.write("home/src/project/.git", "hello\n") },
		"empty":           func(u *user) { u.must(os.Mkdir(filepath.Join(u.cwd, ".git"), 0o755)) },
		"linked worktree in reftable": func(u *user) {
			u.commits("from")
			u.git("worktree", "add", "-q", "-b", "other", "../project")
			u.must(os.Mkdir(filepath.Join(u.cwd, ".git/worktrees/project/reftable"), 0o755))
			u.at("project")
		},
		"broken index": func(u *user) { u.commits("project"); u.write("home/src/project/.git/index", "DIRC but no more") },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			plant(u)
			u.spec.CopyCwd = true
			if _, err := u.gather(); err == nil || !strings.Contains(err.Error(), "working directory "+u.cwd) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
