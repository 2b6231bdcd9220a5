package integration

import (
	"fmt"
	"io/fs"
	"os"
	accounts "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/hunt"
)

// Numbers that no user of a machine has, and a group that every Debian has.
const (
	aladdin     = 61001
	jafar       = 61002
	usersGroup  = "games"
	usersLimits = "users: {default: {bottles: 1}}\n"
)

// serves starts a controller that serves users, and returns where, and the group.
func serves(t *testing.T, u *bottletest.User, place bottletest.Place) *controller {
	t.Helper()
	file := filepath.Join(place.Dir, "config.yaml")
	if err := os.WriteFile(file, []byte(usersLimits), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &controller{Cmd: u.Command("controller", "--resync", "1h", "--users-socket", place.Socket, "--users-group", usersGroup, "--host-file", file)}
	c.Stdout, c.Stderr = &c.said, &c.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("the controller said:\n%s", c.said.String())
		}
	})
	bottletest.Eventually(t, "a controller serves users", func() bool { return strings.Contains(c.said.String(), "serve users") })
	return c
}

func groupOf(t *testing.T) uint32 {
	t.Helper()
	group, err := accounts.LookupGroup(usersGroup)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(group.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(gid)
}

// account is a user with an agent whose claude runs that.
func account(t *testing.T, u *bottletest.User, place bottletest.Place, name string, uid uint32, command string, groups ...uint32) *bottletest.Account {
	t.Helper()
	a := u.Account(place, name, uid, groups...)
	a.Write("home/.claude-bottle/agents/tester.md", "---\nbottle: default\n---\nBe brief.\n")
	a.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\nenv:\n  FAKE_CLAUDE_RUN: "+fmt.Sprintf("%q", command)+"\n---\n")
	a.Own()
	return a
}

// TestUsersRunBottlesOfTheirOwnAndReachNoOthers is a day of users who are not root.
func TestUsersRunBottlesOfTheirOwnAndReachNoOthers(t *testing.T) {
	u := newUser(t, "2.4")
	place := u.NewPlace()
	c := serves(t, u, place)
	gid := groupOf(t)
	one := account(t, u, place, "aladdin", aladdin, echoes, gid)
	other := account(t, u, place, "jafar", jafar, "cat /workspace/lamp; echo said", gid)
	stranger := account(t, u, place, "stranger", jafar+1, "true")

	one.Write("project/lamp", "brass\n")
	one.Own()
	started := one.Run("start", "tester", "--yes", "--cwd", "--detach").Want(t, 0)
	bottletest.Contains(t, started.Stderr, "through the controller at "+place.Socket, "the copy of "+one.Cwd)
	bottletest.Contains(t, one.Run("list").Want(t, 0).Stdout, "tester", "Running", "gvisor")
	bottletest.Contains(t, one.Run("get", "tester", "-o", "yaml").Want(t, 0).Stdout, "type: Ready")
	bottletest.Contains(t, one.Run("describe", "tester").Want(t, 0).Stdout, "claude runs")
	if r := one.Run("exec", "tester", "--", "cat", "lamp").Want(t, 0); r.Stdout != "brass\n" {
		t.Errorf("the bottle holds %q", r.Stdout)
	}
	one.Run("exec", "tester", "--", "sh", "-c", "exit 7").Want(t, 7)
	one.Run("cp", "lamp", "tester:/workspace/second").Want(t, 0)
	one.Run("cp", "tester:/workspace/second", "home-again").Want(t, 0)
	if data, err := os.ReadFile(filepath.Join(one.Cwd, "home-again")); err != nil || string(data) != "brass\n" {
		t.Errorf("%q came home, %v", data, err)
	}
	s := one.OnTerminal("attach", "tester")
	s.Types("hello\r")
	s.Shows("got hello")

	// Nobody else can so much as see it.
	if r := other.Run("list", "-o", "name").Want(t, 0); r.Stdout != "" {
		t.Errorf("another user sees %q", r.Stdout)
	}
	for _, words := range [][]string{
		{"exec", "tester", "--", "true"}, {"attach", "tester"}, {"logs", "tester"}, {"stop", "tester"}, {"rm", "tester", "--discard"},
		{"cp", "tester:/workspace/lamp", "stolen"}, {"wait", "tester", "--timeout", "0"}, {"resume", "tester", "--yes"}, {"egress", "allow", "tester", "example.com"},
		{"describe", "tester"}, {"delete", "tester", "--discard"}, {"port-forward", "tester", "8080"},
		{"fetch", "tester"}, {"merge", "tester"}, {"diff", "tester"}, {"diff", "tester", "--system"}, {"apply", "tester", "--yes"}, {"fork", "tester"},
	} {
		if r := other.Run(words...); r.Code == 0 || !strings.Contains(r.Stderr, "no bottle tester") {
			t.Errorf("%v ended with %d: %s", words, r.Code, r.Stderr)
		}
	}
	bottletest.Contains(t, stranger.Run("list").Want(t, 1).Stderr, "is not open to you", "usermod -aG")
	bottletest.Contains(t, one.Run("cleanup").Want(t, 1).Stderr, "`cleanup` needs root", place.Socket)

	// What the host's file does not give.
	one.Write("home/.claude-bottle/bottles/weak.md", "---\nextends: default\ndebug: true\n---\n")
	one.Write("home/.claude-bottle/agents/weak.md", "---\nbottle: weak\n---\n")
	one.Own()
	for _, row := range [][]string{
		{"weaker is for root", "start", "weak", "--yes"},
		{"--allow-vulnerable-runc is for root", "start", "tester", "--yes", "--name", "second", "--allow-vulnerable-runc"},
		{"runtime runc is not open to you", "start", "tester", "--yes", "--name", "second", "--runtime", "runc"},
		{"is not on this host", "start", "tester", "--yes", "--name", "second", "--image", "127.0.0.1:1/none:1"},
		{"1 bottles of yours run", "start", "tester", "--yes", "--name", "second"},
	} {
		r := one.Run(row[1:]...).Want(t, 125)
		bottletest.Contains(t, r.Stderr, strings.Replace(row[0], "weaker", "debug: true of the bottle file", 1))
	}

	// F3: bottles live without the controller, and the client that was attached is again.
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	c = serves(t, u, place)
	s.Types("again\r")
	s.Shows("got again")
	s.Types("end\r")
	if code := s.Ends(); code != 7 {
		t.Errorf("attach ended with %d: %s", code, s.Text())
	}
	one.Run("wait", "tester", "--timeout", "2m").Want(t, 0)
	bottletest.Contains(t, one.Run("logs", "tester").Want(t, 0).Stdout, "got hello", "got again")
	bottletest.Contains(t, one.Run("list").Want(t, 0).Stdout, "Kept (7)", "1 file")
	one.Run("rm", "tester").Want(t, 4)
	one.Run("cp", "tester:/workspace/second", "kept").Want(t, 0)
	one.Run("cp", "kept", "tester:/workspace/third").Want(t, 0)
	r := one.Run("resume", "tester", "--yes").Want(t, 9)
	bottletest.Contains(t, r.Stdout, "ready")
	bottletest.Contains(t, r.Stderr, "unsaved, kept as tester@", "third")
	one.Run("rm", "tester", "--discard").Want(t, 0)

	// A bottle in the foreground, of the same name, that is nobody else's.
	other.Write("project/lamp", "iron\n")
	other.Own()
	if r := other.Run("start", "tester", "--yes", "--cwd").Want(t, 0); r.Stdout != "iron\nsaid\n" {
		t.Errorf("it said %q", r.Stdout)
	}
	c.ends(t)
}

// TestTConfusedDeputy: a user names files of root's wherever a path can be named; what is in
// them reaches nobody, for root's process opens none of them.
func TestTConfusedDeputy(t *testing.T) {
	const canary = "canary-of-root-0a71"
	u := newUser(t, "2.4")
	place := u.NewPlace()
	c := serves(t, u, place)
	secrets := filepath.Join(place.Dir, "secrets")
	u.Write("canary", canary)
	hide(t, filepath.Join(filepath.Dir(u.Home), "canary"), secrets)
	a := account(t, u, place, "aladdin", aladdin, "grep -r canary /workspace /home /etc 2>/dev/null; cat link; cat .git/config; echo searched", groupOf(t))
	try := func(bottle, agent string, args ...string) bottletest.Result {
		t.Helper()
		a.Write("home/.claude-bottle/bottles/evil.md", "---\nextends: default\n"+bottle+"---\n")
		a.Write("home/.claude-bottle/agents/evil.md", "---\nbottle: evil\n"+agent+"---\n")
		a.Own()
		return a.Run(append([]string{"start", "evil", "--yes"}, args...)...)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(a.Home, ".claude-bottle", "skills"), 0o700))
	must(os.Symlink(secrets, filepath.Join(a.Home, ".claude-bottle", "skills", "linked")))
	must(os.MkdirAll(filepath.Join(a.Home, ".claude-bottle", "skills", "lamp"), 0o700))
	must(os.Symlink(filepath.Join(secrets, "SKILL.md"), filepath.Join(a.Home, ".claude-bottle", "skills", "lamp", "SKILL.md")))
	const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGH4hEMcLbWv5b6OCo3Y6Qd0wCBbSbWDDxyHZxuTqvLj"
	key := filepath.Join(secrets, "key")
	var said strings.Builder
	for _, row := range [][]string{
		{"ssh: [{host: forge, identityFile: " + key + ", knownHostKey: " + hostKey + "}]\n", ""},
		{"ssh: [{host: forge, identityFile: " + key + ", copy: true}]\n", ""},
		{"credentials: [{name: lamp, upstream: 'https://lamp.example', secret: 'file:" + key + "'}]\n", ""},
		{"credentials: [{name: lamp, upstream: 'https://lamp.example', secret: 'command:/bin/cat " + key + "'}]\n", ""},
		{"", "skills: [linked]\n"},
		{"", "skills: [lamp]\n"},
	} {
		r := try(row[0], row[1])
		if r.Code != 125 {
			t.Errorf("%q ended with %d: %s", row, r.Code, r.Stderr)
		}
		said.WriteString(r.Stdout + r.Stderr)
	}

	// What is in a working directory and not the user's goes in as a link, or not at all.
	a.Write("project/.git", "gitdir: "+filepath.Join(secrets, "repository")+"\n")
	must(os.Symlink(key, filepath.Join(a.Cwd, "link")))
	r := try("", "", "--cwd")
	said.WriteString(r.Stdout + r.Stderr)
	must(os.Remove(filepath.Join(a.Cwd, ".git")))
	r = try("", "", "--cwd").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "searched")
	said.WriteString(r.Stdout + r.Stderr)
	c.ends(t)
	said.WriteString(c.said.String())
	if strings.Contains(said.String(), canary) {
		t.Errorf("the canary was said:\n%s", said.String())
	}
	h := hunt.New(map[string]string{"canary": canary})
	for _, root := range []string{u.Root, u.RunRoot, a.Home, a.Cwd} {
		h.Tree(root, func(string, fs.DirEntry) bool { return false })
	}
	for _, hit := range h.Hits {
		t.Error(hit)
	}
}

// hide puts a file of root's under the names that are looked for, in a directory that is
// closed to others.
func hide(t *testing.T, file, dir string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key", "SKILL.md", "repository/config", "repository/HEAD"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
