package fetch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

// poisons are what an agent does to its repository so that a git that is used on it
// runs $C. They are shell commands.
func poisons() map[string]string {
	const tracked = `git add -A && git commit -q --no-verify --no-gpg-sign -m poison`
	config := func(pairs ...string) string {
		var commands []string
		for _, pair := range pairs {
			key, value, _ := strings.Cut(pair, "=")
			commands = append(commands, "git config "+key+` "`+value+`"`)
		}
		return strings.Join(commands, "\n")
	}
	attributes := func(text string) string { return `printf '%s\n' '` + text + `' >.gitattributes; ` + tracked }
	const hooks = `for hook in applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg post-commit pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman post-index-change; do cp $C $where/$hook; done`
	return map[string]string{
		"hooks":                 "where=.git/hooks; mkdir -p $where; " + hooks,
		"hooks in the tree":     "where=hooks; mkdir $where; " + hooks + "; " + tracked + "; git config core.hooksPath hooks",
		"hooks by a link":       "rm -rf .git/hooks; where=hooks; mkdir $where; " + hooks + "; ln -s ../hooks .git/hooks",
		"fsmonitor":             config("core.fsmonitor=$C", "core.fsmonitorHookVersion=2"),
		"ssh command":           config("core.sshCommand=$C", "remote.origin.url=ssh://host/x", "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*"),
		"pager":                 config("core.pager=$C", "pager.log=$C", "pager.status=$C", "pager.branch=$C", "interactive.diffFilter=$C"),
		"editor":                config("core.editor=$C", "sequence.editor=$C"),
		"filter":                config("filter.evil.clean=$C; cat", "filter.evil.smudge=$C; cat") + "\n" + attributes("* filter=evil"),
		"filter process":        config("filter.evil.process=$C") + "\necho '* filter=evil' >.git/info/attributes",
		"filter in info":        config("filter.evil.clean=$C; cat", "filter.evil.smudge=$C; cat") + "\necho '* filter=evil' >.git/info/attributes",
		"textconv":              config("diff.evil.textconv=$C", "diff.evil.cachetextconv=true") + "\n" + attributes("* diff=evil"),
		"diff command":          config("diff.evil.command=$C") + "\n" + attributes("* diff=evil"),
		"external diff":         config("diff.external=$C", "diff.tool=evil", "difftool.evil.cmd=$C"),
		"aliases":               config("alias.st=!$C", "alias.status=!$C", "alias.log=!$C", "alias.merge=!$C", "help.autocorrect=immediate"),
		"include":               "printf '[core]\\n\\tfsmonitor = %s\\n\\tpager = %s\\n' $C $C >evil.config; git config include.path ../evil.config; git config includeIf.gitdir:/.path ../evil.config; " + tracked,
		"gitdir file":           "mv .git elsewhere; echo 'gitdir: elsewhere' >.git; git config core.fsmonitor $C; where=elsewhere/hooks; " + hooks,
		"alternates":            "mkdir store; cp -r .git/objects store; rm -rf .git/objects/??; echo ../../store/objects >.git/objects/info/alternates; git config core.alternateRefsCommand $C",
		"common directory":      "cp -r .git common; echo ../common >.git/commondir; git config core.fsmonitor $C; where=common/hooks; " + hooks,
		"worktree config":       "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor $C; git config --worktree core.pager $C",
		"url instead of":        "git config \"url.ext::$C x.insteadOf\" https://\n" + config("protocol.ext.allow=always", "remote.origin.url=https://host/x", "remote.origin.uploadpack=$C", "remote.origin.receivepack=$C"),
		"submodule command":     "git init -q sub; git -C sub -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; printf '[submodule \"sub\"]\\n\\tpath = sub\\n\\turl = ./sub\\n' >.gitmodules; " + tracked + "; " + config("submodule.sub.update=!$C", "submodule.recurse=true", "submodule.sub.active=true"),
		"submodule from ext":    "git init -q sub; git -C sub -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; printf '[submodule \"sub\"]\\n\\tpath = sub\\n\\turl = ext::%s x\\n' $C >.gitmodules; " + tracked,
		"credential helper":     config("credential.helper=!$C", "core.askPass=$C", "remote.origin.url=http://127.0.0.1:1/x"),
		"signatures":            config("gpg.program=$C", "gpg.ssh.program=$C", "gpg.ssh.defaultKeyCommand=$C", "commit.gpgSign=true", "tag.gpgSign=true", "log.showSignature=true"),
		"merge driver":          config("merge.evil.driver=$C", "merge.default=evil", "merge.tool=evil", "mergetool.evil.cmd=$C") + "\n" + attributes("* merge=evil"),
		"worktree elsewhere":    config("core.worktree=/", "core.fsmonitor=$C"),
		"archive filter":        config("tar.tar.gz.command=$C", "tar.evil.command=$C") + "\n" + attributes("* export-subst"),
		"replaced and grafted":  "git replace HEAD HEAD~1; echo $(git rev-parse HEAD) >.git/info/grafts",
		"maintenance and hooks": config("maintenance.auto=true", "gc.auto=1", "gc.recentObjectsHook=$C", "uploadpack.packObjectsHook=$C", "receive.procReceiveRefs=refs"),
		"trailers and mail":     config("trailer.x.command=$C", "trailer.x.cmd=$C", "trailer.x.key=x", "sendemail.smtpServer=$C", "browser.web.cmd=$C", "man.viewer=evil", "man.evil.cmd=$C"),
		"links in the tree":     "ln -s .git/hooks trap; git add trap; git commit -q -m link; git rm -q trap; mkdir trap; cp $C trap/post-checkout; " + tracked,
		"names and messages":    "git commit -q --allow-empty -m \"$(printf '\\033]0;owned\\007\\033[2J')\"; git branch 'a;touch${IFS}x'; git branch '$(id)'; git tag -- '-x' || git update-ref refs/tags/-x HEAD",
	}
}

// commands are what a user does next, in the repository of the host. Each tells of
// itself by its first word or two.
func commands() [][]string {
	const main, side, uncommitted = "refs/bottle/lamp/heads/main", "refs/bottle/lamp/heads/side", "refs/bottle/lamp/uncommitted"
	return [][]string{
		{"status"}, {"-p", "status", "-sb"}, {"log", "-p", "--all"}, {"-p", "log", "--show-signature", "-3", main}, {"diff", "main", uncommitted},
		{"show", "--stat", "-p", uncommitted}, {"blame", uncommitted, "--", "tracked"}, {"grep", "wish", main}, {"rev-parse", main},
		{"branch", "-avv"}, {"submodule", "status"}, {"describe", "--always", "--all", main}, {"archive", "--format=tar.gz", "-o", "/dev/null", main},
		{"stash", "push"},
		{"checkout", "-q", "-b", "theirs", uncommitted}, {"commit", "-q", "--allow-empty", "-m", "mine"}, {"submodule", "update", "--init"},
		{"checkout", "-q", "-f", "main"}, {"merge", "-q", "--no-edit", main}, {"cherry-pick", side},
		{"rebase", "-q", "main", "theirs"}, {"checkout", "-q", "-f", "main"}, {"worktree", "add", "-q", "../tree", side},
		{"gc", "-q"}, {"fsck"},
	}
}

func TestT19_NoPoisonRunsOnTheHost(t *testing.T) {
	var pairs, alive atomic.Int64
	t.Run("poisons", func(t *testing.T) {
		for name, poison := range poisons() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLamp(t)
				canary := l.canary()
				l.goIn()
				l.agent("git checkout -q -b side; echo side >side; git add side; git commit -qm side; git checkout -q main; echo wish >>tracked; git commit -qam wish")
				l.agent("C=" + canary + "\n" + poison)
				l.agent("echo dirty >>tracked; echo new >untracked")
				l.fetchesNothingElse()
				pairs.Add(l.silent(canary))
				if l.sings(canary) {
					alive.Add(1)
				}
			})
		}
	})
	t.Logf("%d pairs; %d poisons work in the bottle itself", pairs.Load(), alive.Load())
	if pairs.Load() < 17*20 || alive.Load() < 17 {
		t.Error("that is too few to prove anything")
	}
}

// fetchesNothingElse fetches, and wants all commits to arrive and nothing else of
// the host's repository to change.
func (l *lamp) fetchesNothingElse() {
	l.Helper()
	own := []string{"objects", "refs/bottle", "logs/refs/bottle"}
	before, files := sum(l, filepath.Join(l.host, ".git"), own...), sum(l, l.host, ".git")
	fetched := l.mustFetch()
	if sum(l, filepath.Join(l.host, ".git"), own...) != before || sum(l, l.host, ".git") != files {
		l.Error("fetch has changed more than objects and refs of its own")
	}
	l.arrived(fetched)
}

// silent runs what a user may run next, and wants the canary not to sing. It returns
// how many commands that were.
func (l *lamp) silent(canary string) int64 {
	l.Helper()
	l.put(l.host, "gone", "mine\n")
	list := commands()
	for _, args := range list {
		command := exec.Command("git", append([]string{"-C", l.host}, args...)...) //nolint:noctx // short
		command.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "PAGER=cat", "GIT_AUTHOR_NAME=user", "GIT_AUTHOR_EMAIL=u@x", "GIT_COMMITTER_NAME=user", "GIT_COMMITTER_EMAIL=u@x"}
		// Submodules of these repositories lead nowhere.
		if out, err := command.CombinedOutput(); err != nil && args[0] != "submodule" {
			l.Errorf("git %v: %v: %s", args, err, out)
		}
		if _, err := os.Stat(canary + "-ran-0"); err == nil {
			l.Fatalf("git %v ran the canary", args)
		}
	}
	return int64(len(list))
}

// canary is a program that notes who runs it.
func (l *lamp) canary() string {
	l.Helper()
	dir := filepath.Join(filepath.Dir(l.host), "canary")
	if err := os.Mkdir(dir, 0o700); err != nil {
		l.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // everybody may sing
		l.Fatal(err)
	}
	path := filepath.Join(dir, "sing")
	l.put(dir, "sing", "#!/bin/sh\ntouch "+path+"-ran-$(id -u)\n")
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // it is to be run
		l.Fatal(err)
	}
	return path
}

// sings says whether git in the bottle's repository runs the canary, as the agent.
func (l *lamp) sings(canary string) bool {
	l.Helper()
	song := canary + "-ran-65534"
	if err := os.RemoveAll(song); err != nil {
		l.Fatal(err)
	}
	for _, args := range []string{
		"-p status", "add -A", "commit -m all", "commit -S -m all --allow-empty", "-p log -p", "diff HEAD~1", "difftool -y HEAD~1", "tag -s -m x v9", "checkout -f side", "merge main", "fetch", "gc --auto",
		"archive --format=tar.gz HEAD", "st", "commit --amend", "submodule update", "interpret-trailers --trailer x=1", "rebase -i HEAD~1",
	} {
		var out bytes.Buffer
		if _, err := l.run(l.Context(), append([]string{"timeout", "5", "git"}, strings.Fields(args)...), backend.Terminal{Out: &out, Err: &out}); err != nil {
			l.Fatal(err)
		}
		if _, err := os.Stat(song); err == nil {
			return true
		}
	}
	return false
}

// arrived wants all branches of the bottle at home, as they are.
func (l *lamp) arrived(fetched *Fetched) {
	l.Helper()
	var out bytes.Buffer
	code, err := l.run(l.Context(), []string{"git", "for-each-ref", "--format=%(refname:lstrip=1) %(objectname)", "refs/heads"}, backend.Terminal{Out: &out, Err: &out})
	if err != nil || code != 0 {
		l.Fatalf("list branches: %d, %v: %s", code, err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		name, object, _ := strings.Cut(strings.TrimSpace(line), " ")
		if got := l.git("rev-parse", "refs/bottle/lamp/"+name); got != object {
			l.Errorf("%s is %s at home, %s in the bottle", name, got, object)
		}
	}
	if got := l.git("show", "refs/bottle/lamp/uncommitted:untracked"); got != "new" {
		l.Errorf("not committed is %q; fetched %+v", got, fetched)
	}
}
