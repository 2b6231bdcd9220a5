package provision_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// user is a home directory and a project.
type user struct {
	*testing.T
	home, cwd string
	spec      backend.Spec
}

func newUser(t *testing.T) *user {
	t.Helper()
	dir := t.TempDir()
	u := &user{T: t, home: filepath.Join(dir, "home"), cwd: filepath.Join(dir, "home", "src", "project")}
	u.must(os.MkdirAll(u.cwd, 0o755))
	u.spec = backend.Spec{
		Manifest: &backend.Manifest{Agent: backend.AgentFile{Name: "tester", Prompt: "Be brief."}, Bottle: backend.BottleFile{Name: "default"}},
		Home:     u.home, Cwd: u.cwd, Lookup: func(string) (string, bool) { return "", false },
	}
	return u
}

func (u *user) must(err error) {
	u.Helper()
	if err != nil {
		u.Fatal(err)
	}
}

func (u *user) write(path, text string) string {
	u.Helper()
	full := filepath.Join(filepath.Dir(u.home), path)
	u.must(os.MkdirAll(filepath.Dir(full), 0o755))
	u.must(os.WriteFile(full, []byte(text), 0o600))
	return full
}

func (u *user) git(args ...string) string {
	u.Helper()
	command := exec.CommandContext(u.Context(), "git", args...)
	command.Dir = u.cwd
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + u.home, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b.c", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b.c"}
	said, err := command.CombinedOutput()
	if err != nil {
		u.Fatalf("git %v: %v: %s", args, err, said)
	}
	return strings.TrimSpace(string(said))
}

// gather gathers, and keeps the working directory open until the test ends.
func (u *user) gather() (provision.Provisions, error) {
	u.Helper()
	things, err := provision.Gather(u.Context(), u.spec)
	u.Cleanup(func() { _ = things.Workspace.Close() })
	return things, err
}

// memory is a Target that keeps what arrives.
type memory struct {
	mu    sync.Mutex
	files map[string]string // place, slash, path
}

func (m *memory) Extract(_ context.Context, place backend.Place, stream io.Reader) error {
	reader := tar.NewReader(stream)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(reader, 1<<20))
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.files[string(place)+"/"+header.Name] = string(data) + header.Linkname
		m.mu.Unlock()
	}
}

// arrive provisions and returns what arrived.
func (u *user) arrive() map[string]string {
	u.Helper()
	things, err := u.gather()
	u.must(err)
	target := &memory{files: map[string]string{}}
	_, err = provision.Provisioner{}.Provision(u.Context(), &backend.Plan{Inputs: things.Inputs, Workspace: things.Workspace}, target)
	u.must(err)
	return target.files
}

func TestPromptSkillsAndSettingsArrive(t *testing.T) {
	u := newUser(t)
	u.write("home/.claude/skills/lamp/SKILL.md", "rub")
	u.write("home/.claude/skills/lamp/scripts/rub.sh", "#!/bin/sh")
	u.spec.Manifest.Agent.Skills = []string{"lamp"}
	things, err := u.gather()
	u.must(err)
	target := &memory{files: map[string]string{}}
	prompt, err := provision.Provisioner{}.Provision(t.Context(), &backend.Plan{Inputs: things.Inputs}, target)
	u.must(err)
	if prompt != "/home/claude/.claude/claude-bottle/system-prompt.md" {
		t.Errorf("the prompt is at %q", prompt)
	}
	for name, want := range map[string]string{
		"claude/claude-bottle/system-prompt.md": "Be brief.",
		"claude/skills/lamp/SKILL.md":           "rub",
		"claude/skills/lamp/scripts/rub.sh":     "#!/bin/sh",
		"home/.claude.json":                     "hasCompletedOnboarding",
		"claude/settings.json":                  "skipDangerousModePermissionPrompt",
	} {
		if !strings.Contains(target.files[name], want) {
			t.Errorf("%s holds %q, want %q", name, target.files[name], want)
		}
	}
	for _, input := range things.Inputs {
		if input.SHA256 == "" || input.Files == 0 {
			t.Errorf("input without hash or files: %+v", input)
		}
	}
}

func TestT18SkillsWithWhatLeadsOutAreRefused(t *testing.T) {
	for name, plant := range map[string]func(skill string) error{
		"link to a key":       func(skill string) error { return os.Symlink("../../../.ssh/id_ed25519", filepath.Join(skill, "ref")) },
		"absolute link":       func(skill string) error { return os.Symlink("/etc/shadow", filepath.Join(skill, "ref")) },
		"link to a directory": func(skill string) error { return os.Symlink("/root", filepath.Join(skill, "ref")) },
		"FIFO":                func(skill string) error { return unix.Mkfifo(filepath.Join(skill, "fifo"), 0o600) },
		"FIFO as SKILL.md": func(skill string) error {
			return errors.Join(os.Remove(filepath.Join(skill, "SKILL.md")), unix.Mkfifo(filepath.Join(skill, "SKILL.md"), 0o600))
		},
		"socket":      func(skill string) error { return unix.Mknod(filepath.Join(skill, "socket"), unix.S_IFSOCK|0o600, 0) },
		"no SKILL.md": func(skill string) error { return os.Remove(filepath.Join(skill, "SKILL.md")) },
		"the skill is a link": func(skill string) error {
			return errors.Join(os.Rename(skill, skill+"2"), os.Symlink(skill+"2", skill))
		},
		"the skill is missing": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.write("home/.ssh/id_ed25519", "canary")
			skill := filepath.Dir(u.write("home/.claude-bottle/skills/lamp/SKILL.md", "rub"))
			u.must(plant(skill))
			u.spec.Manifest.Agent.Skills = []string{"lamp"}
			_, err := u.gather()
			if err == nil || !strings.Contains(err.Error(), "skill lamp") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestT47SkillNamesThatClimbAreRefused(t *testing.T) {
	for _, name := range []string{"../../.ssh", "/etc", "a/b", "", ".", "..", "-x", "a\x00b", strings.Repeat("a", 200)} {
		u := newUser(t)
		u.spec.Manifest.Agent.Skills = []string{name}
		if _, err := u.gather(); err == nil {
			t.Errorf("skill %q passed", name)
		}
	}
}

// project fills the working directory with a repository that has everything in
// it that must not go along.
func (u *user) project() {
	u.git("init", "-q", "-b", "main")
	u.write("home/src/project/main.go", "package main")
	u.write("home/src/project/.gitignore", "build/\n*.log\n")
	u.git("add", ".")
	u.git("commit", "-qm", "first")
	u.git("remote", "add", "origin", "https://genie:wish-canary@example.com/lamp.git")
	u.git("config", "user.name", "Aladdin")
	u.git("config", "core.fsmonitor", "/tmp/evil-canary")
	u.git("config", "http.extraHeader", "Authorization: wish-canary")
	u.git("config", "filter.x.clean", "evil-canary")
	u.git("config", "include.path", "/nowhere/evil-canary")
	u.git("config", "alias.x", "!evil-canary")
	u.git("config", "credential.helper", "store --file wish-canary")
	u.write("home/src/project/.git/hooks/pre-commit", "evil-canary")
	u.write("home/src/project/.git/modules/sub/hooks/pre-commit", "evil-canary")
	u.write("home/src/project/.git/modules/sub/config", "[core]\n\tbare = false\n\tpager = evil-canary\n")
	u.git("branch", "config")
	u.write("home/src/project/build/out", "ignored")
	u.write("home/src/project/debug.log", "ignored")
	u.write("home/src/project/.env", "TOKEN=wish-canary")
	u.write("home/src/project/.env.local", "TOKEN=wish-canary")
	u.write("home/src/project/.env.example", "TOKEN=")
	u.write("home/src/project/deploy.pem", "wish-canary")
	u.write("home/src/project/sub/.aws/credentials", "wish-canary")
	u.must(os.Symlink("/etc/passwd", filepath.Join(u.cwd, "link")))
	u.must(unix.Mkfifo(filepath.Join(u.cwd, "fifo"), 0o600))
	u.must(unix.Mknod(filepath.Join(u.cwd, "socket"), unix.S_IFSOCK|0o600, 0))
}

func TestWorkingDirectoryGoesWithoutSecretsAndTraps(t *testing.T) {
	u := newUser(t)
	u.project()
	u.spec.CopyCwd = true
	head := u.git("rev-parse", "HEAD")
	things, err := u.gather()
	u.must(err)
	if things.Workspace.Head != head || things.Workspace.Branch != "main" {
		t.Errorf("HEAD is %s on %s, want %s on main", things.Workspace.Head, things.Workspace.Branch, head)
	}
	target := &memory{files: map[string]string{}}
	_, err = provision.Provisioner{}.Provision(t.Context(), &backend.Plan{Workspace: things.Workspace}, target)
	u.must(err)
	for name, content := range target.files {
		for _, canary := range []string{"wish-canary", "evil-canary"} {
			if strings.Contains(content, canary) {
				t.Errorf("%s holds the canary:\n%s", name, content)
			}
		}
	}
	for _, name := range []string{"main.go", ".gitignore", ".env.example", ".git/HEAD"} {
		if _, ok := target.files["workspace/"+name]; !ok {
			t.Errorf("%s did not arrive", name)
		}
	}
	if got := target.files["workspace/link"]; got != "/etc/passwd" {
		t.Errorf("the link arrived as %q", got)
	}
	if got := strings.TrimSpace(target.files["workspace/.git/refs/heads/config"]); got != head {
		t.Errorf("the branch named config points to %q", got)
	}
	config := target.files["workspace/.git/config"]
	for _, want := range []string{"https://example.com/lamp.git", "Aladdin", "repositoryformatversion"} {
		if !strings.Contains(config, want) {
			t.Errorf("%q is missing in the scrubbed config:\n%s", want, config)
		}
	}
	reasons := map[string]string{}
	for _, omission := range things.Workspace.Omitted {
		reasons[omission.Path] = omission.Reason
	}
	for path, want := range map[string]string{
		"build": "ignored by git", "debug.log": "ignored by git", ".env": "looks like a secret", ".env.local": "looks like a secret",
		"deploy.pem": "looks like a secret", "sub/.aws": "looks like a secret", "fifo": "FIFO", "socket": "socket", ".git/hooks": "git hooks",
		".git/modules/sub/hooks": "git hooks",
	} {
		if reasons[path] != want {
			t.Errorf("%s is left out as %q, want %q; left out are %v", path, reasons[path], want, slices.Sorted(maps.Keys(reasons)))
		}
	}
}

// TestScrubbedRepositoryWorks runs git on what arrived.
func TestScrubbedRepositoryWorks(t *testing.T) {
	u := newUser(t)
	u.project()
	u.spec.CopyCwd = true
	files := u.arrive()
	copied := t.TempDir()
	for name, content := range files {
		path, ok := strings.CutPrefix(name, "workspace/")
		if !ok || strings.HasSuffix(name, "/") || path == "link" {
			continue
		}
		u.must(os.MkdirAll(filepath.Join(copied, filepath.Dir(path)), 0o755))
		u.must(os.WriteFile(filepath.Join(copied, path), []byte(content), 0o600))
	}
	u.must(os.MkdirAll(filepath.Join(copied, ".git/objects"), 0o755))
	u.must(os.MkdirAll(filepath.Join(copied, ".git/refs/tags"), 0o755))
	u.cwd = copied
	if got := u.git("log", "--format=%s"); got != "first" {
		t.Errorf("git log says %q", got)
	}
	if got := u.git("remote", "get-url", "origin"); got != "https://example.com/lamp.git" {
		t.Errorf("origin is %q", got)
	}
}

func TestDirectoriesThatHoldTooMuchAreRefused(t *testing.T) {
	u := newUser(t)
	u.must(os.MkdirAll(filepath.Join(u.home, ".claude-bottle/bottles"), 0o755))
	u.must(os.MkdirAll(filepath.Join(u.home, ".ssh"), 0o755))
	u.must(os.Symlink(u.home, filepath.Join(u.home, "src/alias")))
	for _, path := range []string{"/", u.home, filepath.Dir(u.home), u.home + "/.claude-bottle", u.home + "/.claude-bottle/bottles", u.home + "/.ssh", u.home + "/src/alias"} {
		u.spec.CopyCwd, u.spec.Cwd = true, path
		if _, err := u.gather(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("--cwd in %s: %v", path, err)
		}
	}
}

// TestT19_HostileRepositoryRunsNothing takes every way in which git is asked about
// a repository while it goes in.
func TestT19_HostileRepositoryRunsNothing(t *testing.T) {
	u := newUser(t)
	u.git("init", "-q", "-b", "main")
	u.write("home/src/project/.env", "tracked, and stays")
	u.write("home/src/project/large.bin", "lost")
	u.write("home/src/project/late", "what is newer than the index has to be looked into")
	late := time.Now().Add(time.Hour)
	u.must(os.Chtimes(filepath.Join(u.cwd, "late"), late, late))
	u.git("add", ".")
	u.git("commit", "-qm", "first")
	lost := u.git("rev-parse", ":large.bin")
	u.must(os.Remove(filepath.Join(u.cwd, ".git/objects", lost[:2], lost[2:])))
	u.git("init", "-q", "../lender")
	proof := filepath.Join(t.TempDir(), "ran")
	script := u.write("evil.sh", "#!/bin/sh\ntouch "+proof+"\n")
	u.must(os.Chmod(script, 0o755))
	for _, hook := range []string{"post-index-change", "pre-auto-gc", "reference-transaction", "fsmonitor-watchman", "post-checkout"} {
		u.must(os.Symlink(script, filepath.Join(u.cwd, ".git/hooks", hook)))
	}
	u.write("home/src/project/.git/config", fmt.Sprintf("[core]\n\trepositoryformatversion = 1\n\tfsmonitor = %[1]s\n\thooksPath = %[2]s\n\tsshCommand = %[1]s\n\tpager = %[1]s\n\talternateRefsCommand = %[1]s\n\tsplitIndex = true\n[filter \"lfs\"]\n\tclean = %[1]s\n\tsmudge = %[1]s\n\tprocess = %[1]s\n[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\turl = ext::%[1]s\n\tpromisor = true\n[uploadpack]\n\tpackObjectsHook = %[1]s\n[protocol]\n\tallow = always\n", script, filepath.Dir(script)))
	u.write("home/src/project/.git/info/attributes", "* filter=lfs\n")
	u.write("home/src/project/.git/objects/info/alternates", u.home+"/src/lender/.git/objects\n")
	u.write("home/src/project/.bottleignore", "large.bin\n")
	u.write("home/src/project/file", "x")
	u.spec.CopyCwd = true
	things, err := u.gather()
	u.must(err)
	if !things.Workspace.Borrows || len(things.Warnings) < 3 {
		t.Errorf("not all of git was asked: %+v, %v", things.Workspace, things.Warnings)
	}
	u.arrive()
	if _, err := os.Stat(proof); !errors.Is(err, os.ErrNotExist) {
		t.Error("the repository ran a program on the host")
	}
}

func newKey(t *testing.T, passphrase string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func TestT31SSHKeysGoOneByOneWithTheirFingerprint(t *testing.T) {
	u := newUser(t)
	key := newKey(t, "")
	u.write("home/.ssh/deploy", key)
	u.write("home/.ssh/id_rsa", "canary")
	u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{{Host: "git", Hostname: "git.example.com", User: "git", Port: 2222, IdentityFile: "~/.ssh/deploy", Copy: true}}
	things, err := u.gather()
	u.must(err)
	files := u.arrive()
	if files["ssh/keys/git"] != key {
		t.Error("the key did not arrive")
	}
	for name, content := range files {
		if strings.Contains(content, "canary") {
			t.Errorf("%s holds another key", name)
		}
	}
	for _, want := range []string{"Host git\n", "HostName git.example.com", "Port 2222", "User git", "IdentitiesOnly yes"} {
		if !strings.Contains(files["ssh/config"], want) {
			t.Errorf("%q is missing in:\n%s", want, files["ssh/config"])
		}
	}
	for _, input := range things.Inputs {
		if input.Name == "ssh key for git" && (!strings.HasPrefix(input.Note, "SHA256:") || input.SHA256 != "") {
			t.Errorf("the key is shown as %+v", input)
		}
	}
}

func TestSSHEntriesThatCantBeAreRefused(t *testing.T) {
	for name, change := range map[string]func(*user, *backend.SSHEntry){
		"missing key":       func(_ *user, e *backend.SSHEntry) { e.IdentityFile = "~/.ssh/none" },
		"relative path":     func(_ *user, e *backend.SSHEntry) { e.IdentityFile = "deploy" },
		"option as host":    func(_ *user, e *backend.SSHEntry) { e.Host = "-oProxyCommand=x" },
		"newline in user":   func(_ *user, e *backend.SSHEntry) { e.User = "git\n  ProxyCommand x" },
		"pattern as host":   func(_ *user, e *backend.SSHEntry) { e.Host = "*" },
		"bad known key":     func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = "nonsense" },
		"readable by all":   func(u *user, _ *backend.SSHEntry) { u.must(os.Chmod(filepath.Join(u.home, ".ssh/deploy"), 0o644)) },
		"with a passphrase": func(u *user, _ *backend.SSHEntry) { u.write("home/.ssh/deploy", newKey(u.T, "sesame")) },
		"no key at all":     func(u *user, _ *backend.SSHEntry) { u.write("home/.ssh/deploy", "hello") },
		"a link": func(u *user, e *backend.SSHEntry) {
			u.must(os.Symlink("deploy", filepath.Join(u.home, ".ssh/l")))
			e.IdentityFile = "~/.ssh/l"
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.write("home/.ssh/deploy", newKey(t, ""))
			entry := backend.SSHEntry{Host: "git", IdentityFile: "~/.ssh/deploy", Copy: true}
			change(u, &entry)
			u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{entry}
			if _, err := u.gather(); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestEnvironmentKnowsThreeKindsOfValue(t *testing.T) {
	u := newUser(t)
	u.spec.Manifest.Bottle.Env = map[string]string{"A": "literal", "B": "${HOST_B}", "C": "?What is C", "D": `\?not asked`, "PATH": "/opt/bin"}
	list, err := provision.Environment(u.spec, backend.CredentialAPIKey)
	u.must(err)
	found := map[string]backend.EnvVariable{}
	for _, variable := range list {
		found[variable.Name] = variable
	}
	if found["A"].Origin != backend.EnvLiteral || found["B"].From != "HOST_B" || found["C"].Prompt != "What is C" || found["D"].Origin != backend.EnvLiteral {
		t.Errorf("variables are %+v", found)
	}
	if found["ANTHROPIC_API_KEY"].Origin != backend.EnvBuiltIn || found["ANTHROPIC_BASE_URL"].Origin != backend.EnvBuiltIn || found["PATH"].Origin != backend.EnvLiteral {
		t.Errorf("built-in variables are %+v", found)
	}
	for _, bad := range []map[string]string{
		{"HOME": "/"}, {"ANTHROPIC_API_KEY": "x"}, {"ANTHROPIC_BASE_URL": "http://evil"}, {"A B": "x"}, {"": "x"}, {"X": "${not whole} x"}, {"Y": "a\x00b"},
	} {
		u.spec.Manifest.Bottle.Env = bad
		if _, err := provision.Environment(u.spec, backend.CredentialNone); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestT9_VariablesOfADevcontainerAreLiteralsAndNeverOurs: nothing of the host's is forwarded
// or asked for because a repository's file says so.
func TestT9_VariablesOfADevcontainerAreLiteralsAndNeverOurs(t *testing.T) {
	u := newUser(t)
	u.spec.Manifest.Bottle.Env = map[string]string{"A": "the bottle file's"}
	foreign := &backend.Devcontainer{Env: map[string]string{"A": "x", "B": "${HOST_B}", "C": "?asked"}}
	u.spec.Manifest.Bottle.Devcontainer = foreign
	list, err := provision.Environment(u.spec, backend.CredentialAPIKey)
	u.must(err)
	secrets, err := backend.ResolveSecrets(&backend.Plan{Env: list}, u.spec.Lookup, nil)
	u.must(err)
	for name, want := range map[string]string{"A": "the bottle file's", "B": "${HOST_B}", "C": "?asked"} {
		if got := secrets.Env[name].Reveal(); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, variable := range list {
		if (variable.Name == "B" || variable.Name == "C") != (variable.Origin == backend.EnvDevcontainer) {
			t.Errorf("%s is of origin %s", variable.Name, variable.Origin)
		}
		if variable.Origin != backend.EnvBuiltIn {
			continue
		}
		foreign.Env = map[string]string{variable.Name: "x"}
		if _, err := provision.Environment(u.spec, backend.CredentialAPIKey); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a repository sets %s: %v", variable.Name, err)
		}
	}
	for _, name := range []string{"A B", "", "TERM", "COLORTERM", "CLAUDE_CODE_OAUTH_TOKEN", "SSH_AUTH_SOCK", "CLAUDE_CONFIG_DIR"} {
		if provision.RefuseForeign(name) == "" {
			t.Errorf("a repository may set %q", name)
		}
	}
}

func TestCopyInFindsItsPlace(t *testing.T) {
	u := newUser(t)
	file := u.write("home/file", "content")
	u.write("home/dir/a/b", "deep")
	for _, row := range []struct{ from, to, want string }{
		{file, "/workspace/x/y", "workspace/x/y"},
		{file, "/workspace/", "workspace/file"},
		{file, "/home/claude/.claude/x", "claude/x"},
		{file, "/home/claude/notes", "home/notes"},
		{filepath.Join(u.home, "dir"), "/workspace/d", "workspace/d/a/b"},
	} {
		target := &memory{files: map[string]string{}}
		u.must(provision.CopyIn(t.Context(), row.from, row.to, target))
		if target.files[row.want] == "" {
			t.Errorf("%s to %s: arrived as %v", row.from, row.to, target.files)
		}
	}
	for _, bad := range []string{"/etc/passwd", "/workspace/../etc/x", "workspace/x", "/workspace", "/home/claudex"} {
		if err := provision.CopyIn(t.Context(), file, bad, &memory{files: map[string]string{}}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestSecretsStandNowhereInThePlan(t *testing.T) {
	u := newUser(t)
	key := newKey(t, "")
	u.write("home/.ssh/deploy", key)
	u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{{Host: "git", IdentityFile: "~/.ssh/deploy", Copy: true}}
	things, err := u.gather()
	u.must(err)
	var shown bytes.Buffer
	u.must((&backend.Plan{Name: "x", Inputs: things.Inputs}).Print(&shown))
	if body := strings.Split(key, "\n")[1]; strings.Contains(shown.String(), body) {
		t.Error("the key is printed")
	}
}
