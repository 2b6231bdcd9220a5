package provision_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// token looks like a secret, and is kept from readers who scan this file.
var token = "gh" + "p_" + "x8Kq2ZrV5tYw3NbM7cLdF1gHjP9sQaEu4R6i"

func (i *inside) has(path string) bool {
	_, err := os.Lstat(filepath.Join(i.dir, path))
	return err == nil
}

func TestBottleIgnoreLeavesOutWhatItNames(t *testing.T) {
	for _, kind := range []string{"repository", "no repository"} {
		t.Run(kind, func(t *testing.T) {
			u := newUser(t)
			if kind == "repository" {
				u.git("init", "-q", "-b", "main")
			}
			for _, name := range []string{"data/big.bin", "data/keep.bin", "src/a.go", "src/gen/x.go", "notes.md", "deep/gen/y"} {
				u.write("home/src/project/"+name, name)
			}
			u.write("home/src/project/.bottleignore", "*.bin\n!keep.bin\n/notes.md\n")
			u.write("home/src/project/src/.bottleignore", "gen/\n")
			i := u.enter()
			for name, want := range map[string]bool{
				"data/big.bin": false, "data/keep.bin": true, "src/a.go": true, "src/gen/x.go": false, "notes.md": false, "deep/gen/y": true, ".bottleignore": true,
			} {
				if i.has(name) != want {
					t.Errorf("%s is there: %v, want %v", name, !want, want)
				}
			}
			if found := i.omitted("src/gen"); found == nil || found.Reason != backend.ReasonBottleIgnore || found.Tracked {
				t.Errorf("left out are %v", i.plan.Workspace.Omitted)
			}
		})
	}
}

// TestWhatStaysThoughGitHasItIsNotDeletedInside: the agent's next commit must not
// delete a file that it was not given.
func TestWhatStaysThoughGitHasItIsNotDeletedInside(t *testing.T) {
	for _, kind := range []string{"ordinary", "linked worktree", "worktree in the tree", "submodule", "submodule of a linked worktree", "sha256", "split index", "sparse index"} {
		t.Run(kind, func(t *testing.T) {
			u := newUser(t)
			u.write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n[protocol \"file\"]\n\tallow = always\n")
			var init []string
			if kind == "sha256" {
				init = []string{"--object-format=sha256"}
			}
			u.commits("x", init...)
			u.write("home/src/x/.env", "A=1")
			u.write("home/src/x/.bottleignore", "big/\n")
			u.write("home/src/x/big/data", "large")
			u.git("add", ".")
			u.git("commit", "-qm", "with what stays")
			below := ""
			switch kind {
			case "linked worktree":
				u.git("worktree", "add", "-q", "-b", "other", "../y")
				u.at("y")
			case "split index":
				u.git("update-index", "--split-index")
			case "sparse index":
				u.git("sparse-checkout", "set", "--cone", "--sparse-index", "big")
			case "worktree in the tree":
				u.git("worktree", "add", "-q", "-b", "other", "tree")
				u.git("sparse-checkout", "set", "--no-cone", "/a.txt", "/tree/")
				below = "tree"
			case "submodule", "submodule of a linked worktree":
				from := u.cwd
				u.commits("y")
				u.git("submodule", "--quiet", "add", "file://"+from, "part")
				u.git("commit", "-qm", "part")
				below = "part"
				if kind != "submodule" {
					u.git("worktree", "add", "-q", "-b", "other", "../z")
					u.at("z")
					u.git("submodule", "--quiet", "update", "--init")
				}
			}
			i := u.enter()
			for _, name := range []string{".env", "big"} {
				if found := i.omitted(filepath.Join(below, name)); found == nil || !found.Tracked || i.has(filepath.Join(below, name)) {
					t.Errorf("%s: left out are %v", name, i.plan.Workspace.Omitted)
				}
			}
			if got := i.gitIn(below, "status", "--porcelain", "-uno"); got != "" {
				t.Errorf("git status says:\n%s", got)
			}
			i.gitIn(below, "add", "-A")
			i.gitIn(below, "-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "all")
			if got := i.gitIn(below, "ls-tree", "-r", "--name-only", "HEAD"); !strings.Contains(got, ".env") || !strings.Contains(got, "big/data") {
				t.Errorf("the commit has:\n%s", got)
			}
			warned := strings.Join(i.plan.Warnings, "\n")
			if !strings.Contains(warned, ".env") || !strings.Contains(warned, "big") || strings.Count(warned, "copied history") != 2 {
				t.Errorf("warnings are %q", warned)
			}
		})
	}
}

func TestWhatHoldsASecretStaysUnlessItIsAskedFor(t *testing.T) {
	plant := func(u *user) {
		u.commits("x")
		u.write("home/src/x/.gitignore", "out/\n")
		u.write("home/src/x/notes/access.txt", "use "+token+" there")
		u.write("home/src/x/a.txt", "changed, with "+token)
		u.write("home/src/x/fixture.txt", "use "+token+" # gitleaks:allow")
		u.write("home/src/x/blob", "\x00"+token)
		u.write("home/src/x/out/made", "made")
		u.write("home/src/x/.env", "A=1")
	}
	u := newUser(t)
	plant(u)
	i := u.enter()
	for name, want := range map[string]string{
		"notes/access.txt": backend.ReasonSecret, "a.txt": backend.ReasonSecret, "out": backend.ReasonIgnored, ".env": backend.ReasonSecretName,
	} {
		found := i.omitted(name)
		if found == nil || found.Reason != want || i.has(name) || (want == backend.ReasonSecret) != (found.Rule == "github-pat") || found.Tracked != (name == "a.txt") {
			t.Errorf("%s: %+v", name, found)
		}
	}
	for _, name := range []string{"fixture.txt", "blob", "b.txt"} {
		if !i.has(name) {
			t.Errorf("%s is missing", name)
		}
	}
	files := 0
	i.must(filepath.WalkDir(i.dir, func(path string, _ os.DirEntry, err error) error {
		if path != i.dir {
			files++
		}
		return err
	}))
	if files != i.plan.Workspace.Files {
		t.Errorf("%d files, planned were %d", files, i.plan.Workspace.Files)
	}

	u = newUser(t)
	plant(u)
	u.spec.IncludeSecrets, u.spec.IncludeIgnored = true, true
	i = u.enter()
	for _, name := range []string{"notes/access.txt", "a.txt", ".env", "out/made"} {
		if !i.has(name) {
			t.Errorf("%s is missing", name)
		}
	}
	warned := strings.Join(i.plan.Warnings, "\n")
	if !strings.Contains(warned, "3 files or directories that look like secrets go in") || !strings.Contains(warned, "notes/access.txt") {
		t.Errorf("warnings are %q", warned)
	}
	if !i.plan.Workspace.IncludeIgnored || !i.plan.Workspace.IncludeSecrets {
		t.Error("the plan does not say what was asked for")
	}
}

func TestThePlanCountsWhatStaysAndNamesTheFirst(t *testing.T) {
	u := newUser(t)
	u.git("init", "-q")
	u.write("home/src/project/.gitignore", "*.log\n")
	for n := range 12 {
		u.write(fmt.Sprintf("home/src/project/%02d.log", n), "x")
	}
	u.write("home/src/project/zz/.env", "x")
	i := u.enter()
	var text strings.Builder
	i.must(i.plan.Print(&text))
	for _, want := range []string{"left out    1 looks like a secret, 1 git hooks, 12 ignored by git\n", "zz/.env (looks like a secret)\n", "and 4 more (all with -o json)\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, text.String())
		}
	}
	if got := strings.Count(text.String(), "left out"); got != 12 {
		t.Errorf("%d lines:\n%s", got, text.String())
	}
}

// TestGitConfigGoesWithoutWhatItHides: every way in which a repository can hold a
// credential or a program.
func TestGitConfigGoesWithoutWhatItHides(t *testing.T) {
	u := newUser(t)
	u.write("home/included", "[remote \"origin\"]\n\turl = https://wish-canary@example.com/\n")
	u.commits("x")
	kept := map[string][2]string{ // name of a remote: as written, as copied
		"password":  {"https://genie:wish-canary@example.com/a.git", "https://example.com/a.git"},
		"token":     {"https://wish-canary@example.com/b.git", "https://example.com/b.git"},
		"two":       {"https://genie:wish-canary@wish-canary@example.com/c.git", "https://example.com/c.git"},
		"capitals":  {"HTTPS://genie:wish-canary@example.com/d.git", "HTTPS://example.com/d.git"},
		"query":     {"https://example.com/e.git?private_token=wish-canary", "https://example.com/e.git"},
		"fragment":  {"https://example.com/f.git#wish-canary", "https://example.com/f.git"},
		"ssh":       {"ssh://git:wish-canary@example.com:22/g.git", "ssh://git@example.com:22/g.git"},
		"git-ssh":   {"git+ssh://git:wish-canary@example.com/h.git", "git+ssh://git@example.com/h.git"},
		"scp":       {"git@example.com:lamp/i.git", "git@example.com:lamp/i.git"},
		"scp2":      {"genie:wish-canary@example.com:j.git", "genie@example.com:j.git"},
		"helper":    {"hg::https://genie:wish-canary@example.com/k", "hg::https://example.com/k"},
		"path":      {"/srv/git/@scope/l.git", "/srv/git/@scope/l.git"},
		"at":        {"https://example.com/@scope/m.git", "https://example.com/@scope/m.git"},
		"ftp":       {"ftp://genie:wish-canary@example.com/n.git", "ftp://example.com/n.git"},
		"with-port": {"https://wish-canary@[::1]:8443/o.git", "https://[::1]:8443/o.git"},
	}
	for name, address := range kept {
		u.git("remote", "add", name, address[0])
		u.git("config", "remote."+name+".pushurl", address[0])
		u.git("config", "branch."+name+".remote", address[0])
		u.git("config", "submodule."+name+".url", address[0])
	}
	for _, setting := range [][2]string{
		{"remote.command.url", "ext::sh -c evil-canary"}, {"remote.https://wish-canary@example.com.url", "x"}, {"include.path", u.home + "/included"},
		{"includeIf.gitdir:/.path", u.home + "/included"}, {"url.https://wish-canary@example.com/.insteadOf", "gh:"}, {"core.hooksPath", "evil-canary"},
		{"core.sshCommand", "evil-canary"}, {"core.fsmonitor", "evil-canary"}, {"core.pager", "evil-canary"}, {"core.editor", "evil-canary"}, {"core.askPass", "evil-canary"},
		{"core.gitProxy", "evil-canary"}, {"core.attributesFile", "evil-canary"}, {"core.excludesFile", "evil-canary"}, {"core.worktree", "/evil-canary"},
		{"filter.x.clean", "evil-canary"}, {"filter.x.smudge", "evil-canary"}, {"filter.x.process", "evil-canary"}, {"diff.x.textconv", "evil-canary"}, {"diff.external", "evil-canary"},
		{"merge.x.driver", "evil-canary"}, {"alias.x", "!evil-canary"}, {"credential.helper", "evil-canary"}, {"credential.https://example.com.username", "wish-canary"},
		{"http.extraHeader", "Authorization: wish-canary"}, {"http.https://example.com/.extraHeader", "wish-canary"}, {"http.proxy", "http://wish-canary@p"}, {"http.cookieFile", "wish-canary"},
		{"remote.x.proxy", "http://wish-canary@p"}, {"remote.x.uploadpack", "evil-canary"}, {"remote.x.vcs", "evil-canary"}, {"submodule.x.update", "!evil-canary"},
		{"gpg.program", "evil-canary"}, {"user.signingKey", "wish-canary"}, {"sequence.editor", "evil-canary"}, {"uploadpack.packObjectsHook", "evil-canary"},
		{"trailer.x.command", "evil-canary"}, {"sendemail.smtpPass", "wish-canary"}, {"lfs.url", "https://wish-canary@example.com"}, {"github.token", "wish-canary"},
	} {
		u.git("config", setting[0], setting[1])
	}
	for path, text := range map[string]string{
		"logs/HEAD":            strings.Repeat("0", 40) + " " + u.git("rev-parse", "HEAD") + " a <a@b.c> 1700000000 +0000\tclone: from https://genie:wish-canary@example.com/a.git?x=wish-canary\n",
		"FETCH_HEAD":           u.git("rev-parse", "HEAD") + "\t\tbranch 'main' of https://wish-canary@example.com/a\n",
		"MERGE_MSG":            "Merge branch 'main' of https://genie:wish-canary@example.com/a\n",
		"config~":              "wish-canary",
		"config.lock":          "wish-canary",
		"credentials":          "wish-canary",
		"git-crypt/keys/x":     "wish-canary",
		"some-tool/settings":   "wish-canary",
		"annex/creds/x":        "wish-canary",
		"lfs/cache/x":          "wish-canary",
		"hooks/post-checkout":  "evil-canary",
		"info/credentials":     "wish-canary",
		"remotes/x":            "URL: https://wish-canary@example.com\n",
		"modules/x/config":     "[core]\n\tpager = evil-canary\n",
		"objects/pack/tmp_idx": "wish-canary",
	} {
		u.write("home/src/x/.git/"+path, text)
	}
	i := u.enter()
	i.lacks("canary")
	for name, address := range kept {
		for _, key := range []string{"remote." + name + ".url", "remote." + name + ".pushurl", "branch." + name + ".remote", "submodule." + name + ".url"} {
			if got := i.git("config", key); got != address[1] {
				t.Errorf("%s is %q, want %q", key, got, address[1])
			}
		}
	}
	if got := i.git("log", "--walk-reflogs", "-1", "--format=%gs"); got != "clone: from https://example.com/a.git" {
		t.Errorf("the reflog says %q", got)
	}
}

func TestOwnDirectoriesOfTheProgramAreNeverCopied(t *testing.T) {
	u := newUser(t)
	root := filepath.Join(filepath.Dir(u.home), "var/lib/bottles")
	u.must(os.MkdirAll(filepath.Join(root, "x/workspace"), 0o755))
	u.must(os.Symlink(root, filepath.Join(u.home, "alias")))
	for _, path := range []string{root, filepath.Join(root, "x/workspace"), filepath.Dir(root), filepath.Join(u.home, "alias/x")} {
		u.spec.CopyCwd, u.spec.Cwd = true, path
		things, err := provision.Gather(t.Context(), u.spec, "/nowhere", filepath.Join(u.home, "alias"))
		_ = things.Workspace.Close()
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--cwd: ") {
			t.Errorf("--cwd in %s: %v", path, err)
		}
	}
}

func TestAnotherUsersDirectoryGoesIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of another user")
	}
	u := newUser(t)
	u.write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n")
	u.commits("from")
	u.git("clone", "-q", "--shared", ".", "../x")
	u.at("x")
	u.write("home/src/x/.gitignore", "*.log\n")
	u.write("home/src/x/.bottleignore", "big\n")
	u.write("home/src/x/big", "x")
	u.write("home/src/x/x.log", "x")
	u.write("home/src/x/.env", "x")
	u.git("add", ".env", ".gitignore", ".bottleignore")
	u.git("commit", "-qm", "more")
	for dir := u.home; dir != os.TempDir(); dir = filepath.Dir(dir) {
		u.must(os.Chmod(dir, 0o755))
	}
	for _, path := range []string{u.cwd, filepath.Join(u.home, "src/from")} {
		if said, err := exec.CommandContext(t.Context(), "chown", "-R", "65534:65534", path).CombinedOutput(); err != nil {
			t.Fatal(string(said))
		}
	}
	scratch := filepath.Join(u.home, "tmp")
	u.must(os.Mkdir(scratch, 0o777))
	t.Setenv("TMPDIR", scratch)
	i := u.enter()
	i.works(4)
	for _, name := range []string{"big", "x.log", ".env"} {
		if i.omitted(name) == nil {
			t.Errorf("left out are %v", i.plan.Workspace.Omitted)
		}
	}
	leftovers, err := filepath.Glob(filepath.Join(scratch, "*"))
	if err != nil || len(leftovers) != 0 {
		t.Errorf("left in the temporary directory: %v, %v", leftovers, err)
	}
	u.must(os.Chmod(u.home, 0o700))
	if _, err := u.gather(); err == nil || !strings.Contains(err.Error(), "the user 65534") {
		t.Errorf("error is %v", err)
	}
}

func TestLargeFilePointersAndFilters(t *testing.T) {
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	u := newUser(t)
	u.commits("x")
	u.git("config", "filter.lfs.clean", "cat")
	u.git("config", "filter.lfs.smudge", "cat")
	u.write("home/src/x/.gitattributes", "*.bin filter=lfs\n*.secret filter=git-crypt\n")
	u.write("home/src/x/pointer.bin", pointer)
	u.git("add", ".")
	u.git("commit", "-qm", "pointer")
	u.write("home/.gitconfig", "[user]\n\tname = Aladdin\n\temail = aladdin@example.com\n")
	i := u.enter()
	i.works(4)
	if len(i.plan.Warnings) != 0 {
		t.Errorf("warnings are %v", i.plan.Warnings)
	}
	u.write("home/src/x/large.bin", "large")
	u.write("home/src/x/plain.secret", "wish-canary")
	u.write("home/src/x/crypted.secret", "\x00GITCRYPT\x00...")
	u.git("add", ".")
	u.git("config", "filter.git-crypt.smudge", "cat")
	i = u.enter()
	warned := strings.Join(i.plan.Warnings, "\n")
	if !strings.Contains(warned, "1 files pass the filter lfs") || !strings.Contains(warned, "large.bin") || strings.Contains(warned, "pointer.bin") {
		t.Errorf("warnings are %q", warned)
	}
	if i.has("plain.secret") || !i.has("crypted.secret") || i.omitted("plain.secret") == nil {
		t.Errorf("left out are %v", i.plan.Workspace.Omitted)
	}
}
