package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// poisoner is an agent that poisons its repository in each way at once. Its canary
// is a program that the host alone has.
const poisoner = `#!/bin/bash
set -e
C=CANARY
git config user.name agent; git config user.email agent@bottle
git checkout -q -b side; echo side >side; git add side; git commit -qm side
git checkout -q main; echo wish >>tracked; git commit -qam wish
echo '* filter=evil diff=evil merge=evil' >.gitattributes; git add .gitattributes; git commit -qm attributes
mkdir -p hooks .git/hooks
for hook in pre-commit prepare-commit-msg commit-msg post-commit post-checkout post-merge pre-rebase reference-transaction post-index-change fsmonitor-watchman pre-auto-gc post-rewrite applypatch-msg; do
	printf '#!/bin/sh\n%s 2>/dev/null\ntrue\n' "$C" >hooks/$hook; chmod +x hooks/$hook; cp hooks/$hook .git/hooks/$hook
done
printf '[core]\n\tpager = %s\n' "$C" >evil.config
git add -A; git commit -qm hooks --no-verify
while read -r key value; do git config "$key" "$value"; done <<END
include.path ../evil.config
filter.evil.clean $C; cat
filter.evil.smudge $C; cat
diff.evil.textconv $C; cat
merge.evil.driver $C
merge.default evil
diff.external $C
core.sshCommand $C
core.editor $C
sequence.editor $C
core.askPass $C
core.alternateRefsCommand $C
credential.helper !$C
gpg.program $C
commit.gpgSign true
log.showSignature true
alias.status !$C
alias.log !$C
url.ext::$C.insteadOf https://
protocol.ext.allow always
remote.origin.url https://example.com/x
remote.origin.uploadpack $C
submodule.recurse true
tar.tar.gz.command $C
gc.recentObjectsHook $C
core.hooksPath hooks
core.fsmonitor $C
END
git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "$C"
echo '* filter=evil' >.git/info/attributes
echo dirty >>tracked; echo new >untracked
`

func TestT19_PoisonOfARealBottleStaysInIt(t *testing.T) {
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		canary := filepath.Join(t.TempDir(), "canary")
		if err := os.WriteFile(canary, []byte("#!/bin/sh\ntouch "+canary+".ran\n"), 0o755); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
		hostRepository(t, u, strings.ReplaceAll(poisoner, "CANARY", canary))
		u.Start(runtime, "--quiet", "--cwd").Want(t, 0)
		u.Run("fetch", "tester").Want(t, 0)
		const main, side, uncommitted = "refs/bottle/tester/heads/main", "refs/bottle/tester/heads/side", "refs/bottle/tester/uncommitted"
		if got := bottletest.Git(t, u.Cwd, "show", uncommitted+":tracked"); got != "went in\nwish\ndirty" {
			t.Errorf("not committed is %q", got)
		}
		for _, args := range []string{
			"-p status", "-p log -p --all --show-signature", "diff main " + uncommitted, "show " + main, "blame " + main + " -- tracked", "grep wish " + main, "rev-parse " + side,
			"branch -avv", "submodule status", "describe --always --all " + main, "archive --format=tar.gz -o /dev/null " + main, "checkout -q -b theirs " + uncommitted,
			"commit -q --allow-empty -m mine", "checkout -q main", "merge -q --no-edit " + main, "cherry-pick " + side, "rebase -q main theirs", "checkout -q main",
			"worktree add -q ../tree " + side, "gc -q", "fsck",
		} {
			command := exec.Command("git", append([]string{"-C", u.Cwd, "-c", "user.name=user", "-c", "user.email=user@example.com"}, strings.Fields(args)...)...) //nolint:noctx // short
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("git %s: %v: %s", args, err, out)
			}
			if _, err := os.Stat(canary + ".ran"); err == nil {
				t.Fatalf("git %s, or fetch before it, has run the canary", args)
			}
		}
	})
}
