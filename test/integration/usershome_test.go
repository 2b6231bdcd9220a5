package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// usersSteps is an agent that commits, leaves something uncommitted, and waits.
const usersSteps = `#!/bin/bash
exec 2>&1 </dev/null
set -e
step() { touch ~/did-$1; while [ ! -e ~/go-$1 ]; do sleep 0.05; done; }
git config user.name agent; git config user.email agent@bottle
echo wish >>tracked; git commit -qam wish
echo dirty >>tracked; echo new >fresh; ln -s /etc/shadow link; echo mine >ignored
step one
`

// TestT12_UsersBringTheirOwnWorkHome is all that root has for that, for a user who is not: by
// the user's own rights, from a bottle that runs and from one that is kept.
func TestT12_UsersBringTheirOwnWorkHome(t *testing.T) {
	u := newUser(t, "2.4")
	withDefaultImage(t, u)
	place := u.NewPlace()
	c := serves(t, u, place)
	gid := groupOf(t)
	a := account(t, u, place, "aladdin", aladdin, "true", gid)
	other := account(t, u, place, "jafar", jafar, "true", gid)
	if err := os.Chown(a.Cwd, 0, 0); err != nil { // for git, up to the end of this
		t.Fatal(err)
	}
	hostRepository(t, a.User, usersSteps)
	a.Own()
	a.Run("start", "tester", "--yes", "--quiet", "--cwd", "--detach").Want(t, 0)
	bottletest.Eventually(t, "the agent's first step", func() bool { return inHome(u, "did-one") != "" })

	diff := a.Run("diff", "tester").Want(t, 0)
	bottletest.Contains(t, diff.Stdout, " went in\n+wish\n+dirty\n", "+++ b/fresh\n", "+mine\n")
	bottletest.Contains(t, diff.Stderr, "`claude-bottle fetch tester` brings them")
	fetched := a.Run("fetch", "tester").Want(t, 0)
	bottletest.Contains(t, fetched.Stdout, "into "+a.Cwd, "refs/bottle/tester/heads/main", "refs/bottle/tester/uncommitted", "   ignored\n")
	system := a.Run("diff", "tester", "--system").Want(t, 1) // it would be a second bottle
	bottletest.Contains(t, system.Stderr, "1 bottles of yours run")
	forked := a.Run("fork", "tester", "--name", "copy").Want(t, 0)
	bottletest.Contains(t, forked.Stdout, "copy-1@")
	if r := a.Run("diff", "copy-1", "tester", "--name-only").Want(t, 0); r.Stdout != "" {
		t.Errorf("the fork differs in %s", r.Stdout)
	}

	letGo(t, u, "one")
	a.Run("wait", "tester", "--timeout", "2m").Want(t, 0)
	bottletest.Eventually(t, "the bottle is kept", func() bool { return strings.Contains(a.Run("list").Stdout, "tester@") })
	merge := a.Run("merge", "tester").Want(t, 0)
	bottletest.Contains(t, merge.Stderr, "From bottle tester@", "[up to date]")
	if merge.Stdout != "git -C "+a.Cwd+" merge refs/bottle/tester/heads/main\n" {
		t.Errorf("merge prints %q", merge.Stdout)
	}
	if r := other.Run("gc", "--max-size", "1Ki", "--discard", "--yes").Want(t, 0); !strings.HasPrefix(r.Stdout, "Nothing to remove") {
		t.Errorf("gc of another user says %s", r.Stdout)
	}

	// What can be joined is, what leads out stays, and nothing is said twice.
	a.Write("project/tracked", "mine\n")
	a.Own()
	a.Run("apply", "tester", "--yes").Want(t, 3)
	a.Write("project/tracked", "mine\nwent in\n")
	a.Own()
	applied := a.Run("apply", "tester", "--yes").Want(t, 0)
	bottletest.Contains(t, applied.Stderr, "- refused link: it is a link to the absolute path", "3 files applied to "+a.Cwd)
	for name, text := range map[string]string{"tracked": "mine\nwent in\nwish\ndirty\n", "fresh": "new\n", "ignored": "mine\n"} {
		if got := contentOf(t, filepath.Join(a.Cwd, name)); got != text {
			t.Errorf("%s holds %q", name, got)
		}
	}
	bottletest.Contains(t, a.Run("apply", "tester", "--yes").Want(t, 0).Stderr, "there is nothing to apply")
	ownsAll(t, a)

	// gc takes what is saved, and says what it would lose.
	gone := a.Run("gc", "--max-size", "1Ki", "--yes").Want(t, 0)
	bottletest.Contains(t, gone.Stdout, "keep copy-1@", "remove tester@", "unsaved: ")
	gone = a.Run("gc", "--max-size", "1Ki", "--yes", "--discard").Want(t, 0)
	bottletest.Contains(t, gone.Stdout, "LOSES unsaved work")
	if r := a.Run("list", "-o", "name").Want(t, 0); r.Stdout != "" {
		t.Errorf("left are %s", r.Stdout)
	}
	c.ends(t)
}

// withDefaultImage has the image in which git is.
func withDefaultImage(t *testing.T, u *bottletest.User) {
	t.Helper()
	_, err := u.Daemon.Client().GetImage(namespaces.WithNamespace(t.Context(), bottletest.Namespace), bottletest.DefaultImage)
	if errdefs.IsNotFound(err) {
		u.Daemon.ImportImage(t, bottletest.Namespace, filepath.Join(u.Daemon.Libexec, "images", "default.tar"))
	} else if err != nil {
		t.Fatal(err)
	}
}

// ownsAll says that everything in an account's directories is its own, and that no apply has
// left anything there.
func ownsAll(t *testing.T, a *bottletest.Account) {
	t.Helper()
	for _, root := range []string{a.Home, a.Cwd} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && statOf(t, path).Uid != aladdin {
				t.Errorf("%s is not the user's", path)
			}
			if strings.Contains(filepath.Base(path), ".claude-bottle-apply-") {
				t.Errorf("%s is left", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(a.Home, ".local", "state", "claude-bottle", "apply")); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an apply has left %v, %v", left, err)
	}
}
