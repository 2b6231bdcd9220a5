package fetch

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// lamp is a bottle without a sandbox: what would run inside runs here as somebody
// else, in a workspace made for the test.
type lamp struct {
	testing.TB
	work *backend.Work
	home string
	// host is the repository that went in.
	host string
	// script is run in place of fetchScript when it is not empty.
	script string
}

// stranger is who runs what would run inside.
const stranger = 65534

func newLamp(t testing.TB) *lamp {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become the agent")
	}
	dir, err := os.MkdirTemp("", "lamp") //nolint:usetesting // the stranger must pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // the stranger passes
		t.Fatal(err)
	}
	l := &lamp{TB: t, home: filepath.Join(dir, "home"), host: filepath.Join(dir, "host")}
	state := filepath.Join(dir, "bottles", "lamp-00001")
	l.work = &backend.Work{ID: backend.ID{Name: "lamp", Suffix: "00001"}, State: state, Plan: &backend.Plan{Workspace: &backend.WorkTree{Path: l.host}}}
	for _, made := range []string{l.home, l.host, filepath.Join(dir, "bottles"), state, l.workspace()} {
		if err := os.Mkdir(made, 0o711); err != nil { //nolint:gosec // as above
			t.Fatal(err)
		}
	}
	l.git("init", "-q", "-b", "main")
	l.put(l.host, "tracked", "went in\n")
	l.put(l.host, "gone", "went in too\n")
	l.put(l.host, ".gitignore", "ignored\n")
	l.git("add", "-A")
	l.git("commit", "-q", "-m", "what goes in")
	return l
}

func (l *lamp) workspace() string { return l.work.Place(backend.PlaceWorkspace) }

// git is the user's git in the host's repository.
func (l *lamp) git(args ...string) string {
	l.Helper()
	command := exec.Command("git", append([]string{"-C", l.host, "-c", "user.name=user", "-c", "user.email=user@example.com"}, args...)...) //nolint:noctx // short
	command.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}
	out, err := command.CombinedOutput()
	if err != nil {
		l.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (l *lamp) put(dir, name, text string) {
	l.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the stranger passes
		l.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // as above
		l.Fatal(err)
	}
}

// goIn copies the host's repository into the workspace, as a launch does.
func (l *lamp) goIn() {
	l.Helper()
	out, err := exec.Command("cp", "-a", l.host+"/.", l.workspace()).CombinedOutput() //nolint:noctx // short
	if err != nil {
		l.Fatalf("copy: %v: %s", err, out)
	}
	err = filepath.WalkDir(l.workspace(), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, stranger, stranger))
	})
	if err := errors.Join(err, os.Chown(l.home, stranger, stranger)); err != nil {
		l.Fatal(err)
	}
	if err := ledger.Begin(l.Context(), l.work); err != nil {
		l.Fatal(err)
	}
}

// agent runs a shell command inside.
func (l *lamp) agent(command string) {
	l.Helper()
	var said bytes.Buffer
	code, err := l.run(l.Context(), []string{"sh", "-ec", command}, backend.Terminal{Out: &said, Err: &said})
	if err != nil || code != 0 {
		l.Fatalf("the agent's %q: %d, %v: %s", command, code, err, said.String())
	}
}

func (l *lamp) run(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir = l.workspace()
	command.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + l.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=agent", "GIT_AUTHOR_EMAIL=agent@bottle",
		"GIT_COMMITTER_NAME=agent", "GIT_COMMITTER_EMAIL=agent@bottle",
	}
	command.Stdin, command.Stdout, command.Stderr = terminal.In, terminal.Out, terminal.Err
	command.WaitDelay = time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Exec implements backend.Inside.
func (l *lamp) Exec(ctx context.Context, argv, _ []string, terminal backend.Terminal) (int, error) {
	if l.script != "" {
		argv = []string{"sh", "-c", l.script}
	}
	return l.run(ctx, argv, terminal)
}

// Close implements backend.Inside.
func (*lamp) Close(context.Context) error { return nil }

// The rest of a backend.Keeper.
func (l *lamp) Enter(context.Context, *backend.Work) (backend.Inside, error) { return l, nil }
func (l *lamp) Find(context.Context, string) (*backend.Work, error)          { return l.work, nil }
func (*lamp) Take(context.Context, *backend.Work) (func(), error)            { return func() {}, nil }
func (*lamp) Remove(context.Context, *backend.Work) error                    { return nil }

func (l *lamp) fetch() (*Fetched, error) {
	return Fetch(l.Context(), l, l.work, Options{Into: l.host})
}

func (l *lamp) mustFetch() *Fetched {
	l.Helper()
	fetched, err := l.fetch()
	if err != nil {
		l.Fatal(err)
	}
	return fetched
}

// how are the refs of a fetch, each with how it stands to what was there.
func (f *Fetched) how() string {
	var lines []string
	for _, ref := range f.Refs {
		lines = append(lines, ref.Name+" "+ref.How)
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// TestFilesThatStayedOutComeHomeOnceTheyAreMade: the index that went in passes over
// tracked files that stayed on the host. What the agent makes under their names is
// work all the same; what it didn't make is not deleted.
func TestFilesThatStayedOutComeHomeOnceTheyAreMade(t *testing.T) {
	l := newLamp(t)
	l.put(l.host, "a secret", "the host's\n")
	l.put(l.host, "other secret", "the host's, too\n")
	l.git("add", "-A")
	l.git("commit", "-q", "-m", "secrets")
	l.goIn()
	l.agent("git update-index --skip-worktree 'a secret' 'other secret' && rm *secret")
	if l.mustFetch(); l.git("for-each-ref", "refs/bottle/lamp/uncommitted") != "" {
		t.Error("what stayed out counts as a change")
	}
	l.agent("echo made inside > 'a secret'")
	l.mustFetch()
	if got := l.git("show", "refs/bottle/lamp/uncommitted:a secret"); got != "made inside" {
		t.Errorf("it came home as %q", got)
	}
	if got := l.git("show", "refs/bottle/lamp/uncommitted:other secret"); got != "the host's, too" {
		t.Errorf("what was not made came home as %q", got)
	}
}

func TestBranchesAndWhatIsNotCommittedComeHome(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent(`git checkout -q -b side; echo more >>tracked; git commit -qam side
git checkout -q main; echo main >new; git add new; git commit -qm main; git tag -a -m tagged v1
echo stashed >>tracked; git stash -q; echo stashed again >>tracked; git stash -q
echo dirty >>tracked; echo untracked >untracked; echo lost >ignored; ln -s /etc/passwd link; rm gone; mkdir -p a/b; echo x >a/b/c`)
	before := l.git("status", "--porcelain", "-b")
	fetched := l.mustFetch()
	if got := fetched.how(); got != "heads/main new, heads/side new, stash new, stash-1 new, tags/v1 new, uncommitted new" {
		t.Errorf("came: %s", got)
	}
	if fetched.Branch != "refs/bottle/lamp/heads/main" || len(fetched.Skipped)+len(fetched.Stale)+len(fetched.Nested) > 0 {
		t.Errorf("fetched %+v", fetched)
	}
	if fetched.Left != 1 || fetched.LeftPaths[0] != "ignored" {
		t.Errorf("left are %v", fetched.LeftPaths)
	}
	if got := l.git("diff", "--name-status", "refs/bottle/lamp/heads/main", "refs/bottle/lamp/uncommitted"); got != "A\ta/b/c\nD\tgone\nA\tlink\nM\ttracked\nA\tuntracked" {
		t.Errorf("not committed was %q", got)
	}
	if got := l.git("show", "refs/bottle/lamp/stash-1:tracked"); got != "went in\nstashed" {
		t.Errorf("the older stash is %q", got)
	}
	if got := l.git("status", "--porcelain", "-b"); got != before {
		t.Errorf("the host's tree was %q, is %q", before, got)
	}
	l.git("fsck", "--strict")

	if got := l.mustFetch().how(); strings.Contains(got, "new") || strings.Contains(got, "forced") {
		t.Errorf("a second fetch changes: %s", got)
	}
	l.agent(`git commit -qam "all of it"; git checkout -q side; git commit -q --amend -m other; git branch -D main -q; rm ignored`)
	fetched = l.mustFetch()
	if got := fetched.how(); got != "heads/side forced, stash same, stash-1 same, tags/v1 same, uncommitted forced" {
		t.Errorf("then came: %s", got)
	}
	if !slices.Equal(fetched.Stale, []string{"refs/bottle/lamp/heads/main"}) || fetched.Left != 0 {
		t.Errorf("fetched %+v", fetched)
	}
	if got := l.git("reflog", "show", "--format=%gs", "refs/bottle/lamp/heads/side"); got != "claude-bottle fetch\nclaude-bottle fetch" {
		t.Errorf("its reflog is %q", got)
	}
	entries, err := os.ReadDir(l.home)
	if err != nil || len(entries) > 0 {
		t.Errorf("inside it leaves %v, %v", entries, err)
	}
	if packs, _ := filepath.Glob(filepath.Join(l.host, ".git/objects/tmp_*")); len(packs) > 0 {
		t.Errorf("on the host it leaves %v", packs)
	}
}
