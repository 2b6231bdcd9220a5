package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// sshUser is a user with a repository behind a real sshd of this machine.
type sshUser struct {
	*bottletest.User
	name, address string
	key           keyPair
	named, other  sshd // the one that the bottle file names, and one that it does not
	repository    string
}

// newSSHUser returns a user of the default image, for that has git and ssh, with
// the stand-in for claude in front of the real one.
func newSSHUser(t *testing.T) *sshUser {
	t.Helper()
	u := &sshUser{User: newImageUser(t), key: newKeyPair(t), repository: newRepository(t)}
	u.name, u.address = bottletest.OwnName(t)
	u.named, u.other = startSSHD(t, u.address, u.key), startSSHD(t, u.address, u.key)
	u.Write("home/.ssh/deploy", string(u.key.file))
	standIn, err := os.ReadFile("../../hack/image/fake-claude.sh")
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/bin/claude", string(standIn))
	if err := os.Chmod(filepath.Join(u.Cwd, "bin/claude"), 0o755); err != nil {
		t.Fatal(err)
	}
	return u
}

// newImageUser is newUser with the default image.
func newImageUser(t *testing.T) *bottletest.User {
	t.Helper()
	daemon := sharedDaemon(t, "2.4")
	if !imported[daemon] {
		daemon.ImportImage(t, bottletest.Namespace, filepath.Join(daemon.Libexec, "images", "default.tar"))
		imported[daemon] = true
	}
	return bottletest.New(t, bottletest.Options{Daemon: daemon})
}

// runs runs a script inside, with one entry under ssh, and returns what it says,
// by name of attempt, and the plan.
func (u *sshUser) runs(t *testing.T, runtime, entry, script string) (said map[string]string, all, plan string) {
	t.Helper()
	u.prepare(entry, script)
	r := u.Run("start", "tester", "--yes", "--cwd", "--runtime", runtime).Want(t, 0)
	said = map[string]string{}
	for line := range strings.Lines(r.Stdout) {
		if name, how, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			said[name] = how
		}
	}
	return said, r.Stdout, r.Stderr
}

// prepare writes the script and the bottle file.
func (u *sshUser) prepare(entry, script string) {
	u.Write("project/work.sh", script)
	u.Write("home/.claude-bottle/bottles/default.md", fmt.Sprintf("---\nimage: %s\nenv:\n  PATH: /workspace/bin:/usr/local/bin:/usr/bin:/bin\n  FAKE_CLAUDE_RUN: sh ./work.sh\n"+
		"  GIT_AUTHOR_NAME: agent\n  GIT_AUTHOR_EMAIL: a@b.c\n  GIT_COMMITTER_NAME: agent\n  GIT_COMMITTER_EMAIL: a@b.c\n"+
		"egress: {allow: [\"%s:%s\"], private: [{host: %s, range: %s/32}]}\n"+
		"ssh: [{host: git, hostname: %s, port: %s, user: root, identityFile: ~/.ssh/deploy, knownHostKey: %q, %s}]\n---\n",
		bottletest.DefaultImage, u.name, u.other.port, u.name, u.address, u.name, u.named.port, u.named.hostKey, entry))
}

// work is what an agent does with a repository.
func (u *sshUser) work(branch string) string {
	return fmt.Sprintf(`set -u
(git clone -q git:%[1]s repository && cd repository && cat README && echo work > work.txt && git add work.txt &&
	git commit -q -m "from inside" && git push -q origin HEAD:%[2]s) 2>&1 && echo "push: done"
`, u.repository, branch)
}

// search looks for the key in every file inside, as the file has it and as its
// raw bytes, and in what can be read of processes. /usr is left out, for there is
// nothing but the image in it. The pattern does not match its own text.
func (u *sshUser) search() string {
	var raw strings.Builder
	for _, b := range u.key.seed {
		fmt.Fprintf(&raw, `\x%02x`, b)
	}
	line := "[" + u.key.line[:1] + "]" + strings.ReplaceAll(u.key.line[1:], "+", `\+`)
	return fmt.Sprintf(`
export LC_ALL=C
key='%s|%s'
echo "files: $(grep -rlaP "$key" / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr 2>/dev/null)"
cat /proc/*/environ /proc/*/cmdline > processes.txt 2>/dev/null
echo "processes: $(grep -caP "$key" processes.txt)"
`, line, raw.String())
}

// pushed checks at the far end that the agent's work has come.
func (u *sshUser) pushed(t *testing.T, all, branch string) {
	t.Helper()
	bottletest.Contains(t, all, "the far end\n", "push: done\n")
	if !t.Failed() {
		bottletest.Contains(t, hostGit(t, "-C", u.repository, "log", "--format=%an %s", branch), "agent from inside\n")
	}
}

// nowhere checks that the key is in no file of ours or of containerd's records.
func (u *sshUser) nowhere(t *testing.T) {
	t.Helper()
	bottletest.Eventually(t, "the bottle is gone", func() bool { return len(u.Supervisors()) == 0 })
	searched := 0
	for _, root := range []string{u.Root, u.RunRoot, u.Daemon.State, filepath.Join(u.Daemon.Root, "io.containerd.metadata.v1.bolt")} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			searched++
			if data, err := os.ReadFile(path); err == nil && (bytes.Contains(data, u.key.seed) || bytes.Contains(data, []byte(u.key.line))) {
				t.Errorf("T31: the key is in %s", path)
			}
			return nil
		})
	}
	if searched < 3 {
		t.Errorf("only %d files were searched", searched)
	}
}

func TestT31_GitWorksWithAKeyThatStaysOutside(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newSSHUser(t)
			loose := "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
			script := u.work("signed") + fmt.Sprintf(`
try() { name=$1; shift; "$@" > out.txt 2>&1 && echo "$name: done" || echo "$name: refused $(tr '\n' ' ' < out.txt)"; }
try named ssh git true
try other-host ssh %[1]s -p %[2]s root@%[3]s true
try other-user ssh -o BatchMode=yes -l nobody git true
try file ssh-keygen -Y sign -f ~/.ssh/keys/git.pub -n file README
try forwarded ssh -A git 'ssh -F none %[1]s -p %[4]s root@%[3]s true'
ssh-keygen -q -t ed25519 -N "" -f mine
try add ssh-add mine
try remove ssh-add -D
try list ssh-add -l
echo "listed: $(wc -l < out.txt)"
try again ssh git true
`, loose, u.other.port, u.name, u.named.port)
			said, all, plan := u.runs(t, runtime, "copy: false", "echo hello > README\n"+script+u.search())
			u.pushed(t, all, "signed")
			for _, name := range []string{"named", "again", "list"} {
				if said[name] != "done" {
					t.Errorf("%s: %q", name, said[name])
				}
			}
			for _, name := range []string{"other-host", "other-user", "file", "forwarded", "add", "remove"} {
				if !strings.HasPrefix(said[name], "refused ") {
					t.Errorf("T31: %s: %q", name, said[name])
				}
			}
			if said["listed"] != "1" || said["files"] != "" || !strings.Contains(all, "files: \n") || said["processes"] != "0" {
				t.Errorf("T31: the key is inside, at %q and in %q processes, or %q keys are listed", said["files"], said["processes"], said["listed"])
			}
			bottletest.Contains(t, plan, "ssh         git: root@"+u.name+" port "+u.named.port, "an agent outside signs with it")
			if strings.Contains(plan, "COPIED") {
				t.Error("the plan says that the key is copied")
			}
			var reasons strings.Builder
			signed := 0
			for _, event := range events(t, u.User) {
				if event.Kind == "ssh-sign" && event.Allowed && event.Host == "git" {
					signed++
				} else if event.Kind == "ssh-sign" {
					reasons.WriteString(event.Reason + "\n")
				}
			}
			// A clone, a push, and three sessions, one of which is forwarded.
			if signed != 5 {
				t.Errorf("%d logins were signed", signed)
			}
			bottletest.Contains(t, reasons.String(), "not the knownHostKey", "no entry has that key for that host and user", "has not said for which host", "can't be forwarded")
			u.nowhere(t)
			if t.Failed() {
				t.Log(all)
			}
		})
	}
}

func TestT31_GitWorksWithACopiedKey(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newSSHUser(t)
			said, all, plan := u.runs(t, runtime, "copy: true", u.work("copied")+`
echo "mode: $(stat -c %a ~/.ssh/keys/git)"
echo "agent: ${SSH_AUTH_SOCK-none} $(ls /tmp/.ssh-agent.sock 2>/dev/null)"
`+u.search())
			u.pushed(t, all, "copied")
			// That the search finds it here is what the other test stands on.
			if said["mode"] != "400" || said["agent"] != "none " || said["files"] != "/home/claude/.ssh/keys/git" {
				t.Errorf("mode %q, agent %q, the key is at %q", said["mode"], said["agent"], said["files"])
			}
			bottletest.Contains(t, plan, "ssh         git: root@"+u.name, "COPIED into the bottle", "WARNING     ssh git: the key is copied in")
			u.nowhere(t)
			if t.Failed() {
				t.Log(all)
			}
		})
	}
}

func TestT31_TheLockOfAKeyIsOpenedOutside(t *testing.T) {
	u := newSSHUser(t)
	u.Write("home/.ssh/deploy", string(u.key.locked))
	u.prepare("copy: false", u.work("unlocked"))
	arguments := []string{"start", "tester", "--yes", "--cwd", "--runtime", "runc"}
	for _, try := range []struct {
		answer string
		code   int
	}{{"tuesday", 125}, {"sesame", 0}} {
		s := u.OnTerminal(arguments...)
		s.Shows("passphrase of " + filepath.Join(u.Home, ".ssh/deploy"))
		s.Types(try.answer + "\r")
		if try.code == 0 {
			s.Shows("push: done")
		} else {
			s.Shows("the passphrase does not open the key")
		}
		if got := s.Ends(); got != try.code {
			t.Errorf("%s: exit code %d, want %d; drawn was:\n%q", try.answer, got, try.code, s.Text())
		}
		if strings.Contains(s.Text(), try.answer) {
			t.Errorf("the passphrase is drawn:\n%q", s.Text())
		}
	}
	u.pushed(t, "the far end\npush: done\n", "unlocked")
	u.nowhere(t)
}
