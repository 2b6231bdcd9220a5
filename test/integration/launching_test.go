package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// whatUsersLaunch makes something and ends in a bottle of a run, and counts its lives in any
// other.
const whatUsersLaunch = `case $(cat /etc/hostname) in
run-*) echo made by $(cat /etc/hostname) | tee /workspace/made ;;
*) echo again >> /workspace/lives; echo life $(cat /workspace/lives | wc -l); while :; do sleep 0.1; done ;;
esac`

// TestUsersDeclareRestartMeasureAndRunBottles through the controller as root does without it;
// after a reboot such a bottle says that it waits for its user (T-confused-deputy: the resource
// names a path, which the user's own process reads).
func TestUsersDeclareRestartMeasureAndRunBottles(t *testing.T) {
	u := newUser(t, "2.4")
	place := u.NewPlace()
	c := serves(t, u, place)
	one := account(t, u, place, "aladdin", aladdin, whatUsersLaunch, groupOf(t))
	one.Write("home/source/lamp", "brass\n")
	says := func(text string) {
		t.Helper()
		bottletest.Eventually(t, "it says "+text, func() bool { return strings.Contains(one.Run("logs", "lamp").Stdout, text) })
	}
	applies := func(code int, more ...string) bottletest.Result {
		t.Helper()
		path := declares(one.User, "lamp", "gvisor", append([]string{"workspace: {path: source}"}, more...)...)
		one.Own()
		return one.Run("apply", "-f", path, "--yes").Want(t, code)
	}

	created := applies(0)
	bottletest.Contains(t, created.Stdout, "bottle.claude-bottle.dev/lamp created")
	bottletest.Contains(t, created.Stderr, "the copy of "+filepath.Join(one.Home, "source"), "through the controller at")
	bottletest.Contains(t, applies(0).Stdout, "lamp unchanged")
	if r := one.Run("exec", "lamp", "--", "cat", "lamp").Want(t, 0); r.Stdout != "brass\n" {
		t.Errorf("the bottle holds %q", r.Stdout)
	}
	var rows []used
	if r := one.Run("top", "-o", "json").Want(t, 0); json.Unmarshal([]byte(r.Stdout), &rows) != nil || len(rows) != 1 || rows[0].Name != "lamp" || rows[0].MemoryBytes <= 0 {
		t.Errorf("top printed %s", r.Stdout)
	}
	says("life 1")
	restarted := one.Run("restart", "lamp").Want(t, 0)
	if restarted.Stdout != "lamp\n" {
		t.Errorf("restart printed %q", restarted.Stdout)
	}
	bottletest.Contains(t, restarted.Stderr, "same plan as before")
	says("life 2")
	bottletest.Contains(t, applies(0, "ttlSecondsAfterFinished: 86400").Stdout, "lamp configured")
	bottletest.Contains(t, applies(1, "ttlSecondsAfterFinished: 86400", "prompt: else").Stderr, "spec.prompt can't change")
	bottletest.Contains(t, one.Run("diff", "-f", filepath.Join(one.Home, "lamp.yaml")).Want(t, 1).Stdout, "+  prompt: else")

	_ = c.Process.Kill()
	_ = c.Wait()
	reboots(t, u)
	c = serves(t, u, place)
	one.Run("wait", "lamp", "--for=condition=CredentialsMissing", "--timeout", "4m").Want(t, 0)
	bottletest.Contains(t, one.Run("get").Want(t, 0).Stdout, "CredentialsMissing")
	bottletest.Contains(t, one.Run("list").Want(t, 0).Stdout, "Kept (CredentialsMissing)")
	described := one.Run("describe", "lamp").Want(t, 0).Stdout
	bottletest.Contains(t, described, "ANTHROPIC_API_KEY went with the bottle", "`claude-bottle resume lamp@", "Pending")
	one.Run("resume", "lamp", "--yes", "--quiet", "--detach").Want(t, 0)
	says("life 3")
	if again := one.Run("get", "lamp", "-o", "yaml").Want(t, 0).Stdout; strings.Contains(again, "CredentialsMissing") || !strings.Contains(again, "team: web") {
		t.Errorf("after the resume it is %s", again)
	}
	one.Run("delete", "lamp", "--discard").Want(t, 0)

	// One bottle may run at a time: the second waits for the first.
	r := one.Run("run", "tester", "--name", "run", "-p", "make it", "--count", "2", "--parallel", "2", "--yes", "-o", "json").Want(t, 0)
	bottletest.Contains(t, r.Stderr, "work stays in the kept bottles: there is no repository to fetch it into", "run-1 | made by run-1", "kept: run-1@")
	list := runs(t, r)
	if len(list) != 2 || list[0].Said != "made by run-1\n" || list[1].Said != "made by run-2\n" || list[1].Handle == "" || list[1].Error != "" {
		t.Fatalf("there is %+v", list)
	}
	one.Run("cp", list[1].Handle+":/workspace/made", ".").Want(t, 0)
	if made, err := os.ReadFile(filepath.Join(one.Cwd, "made")); err != nil || string(made) != "made by run-2\n" {
		t.Errorf("%q came home, %v", made, err)
	}
	one.Run("rm", "--discard", list[0].Handle, list[1].Handle).Want(t, 0)
	c.ends(t)
}
