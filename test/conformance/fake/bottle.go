package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// exitOurs is the exit code that is not claude's.
const exitOurs = 125

// bottle is one directory, and what runs in it.
type bottle struct {
	backend *Backend
	id      backend.ID
	plan    *backend.Plan
	dir     string
	created time.Time
	env     []string
	prompt  string // path of the prompt, or ""
	before  archive.Baseline

	// Under the backend's lock.
	ready, dead, detached bool
	outcome               *backend.Outcome
	declared              *backend.Declaration
	events                []backend.Event

	mu      sync.Mutex
	running map[*exec.Cmd]bool
	ended   bool // nothing is started any more
	session *session
	all     sync.WaitGroup // what runs, and who waits for it
}

var (
	_ backend.Bottle   = (*bottle)(nil)
	_ backend.Unsaver  = (*bottle)(nil)
	_ backend.Detacher = (*bottle)(nil)
)

// place is the directory that stands for a place of the bottle.
func (b *bottle) place(place backend.Place) string {
	below := map[backend.Place]string{
		backend.PlaceWorkspace: "workspace", backend.PlaceHome: "home", backend.PlaceClaude: "home/.claude", backend.PlaceSSH: "home/.ssh",
	}[place]
	if below == "" {
		return ""
	}
	return filepath.Join(b.dir, below)
}

// fill makes the bottle's directories, and puts in what was planned.
func (b *bottle) fill(ctx context.Context, claude string) error {
	program := filepath.Join(b.dir, "bin", "claude")
	for _, dir := range []string{filepath.Dir(program), b.place(backend.PlaceWorkspace), b.place(backend.PlaceClaude), b.place(backend.PlaceSSH)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Symlink(claude, program); err != nil {
		return err
	}
	prompt, err := provision.Provisioner{Progress: backend.NoProgress{}}.Provision(ctx, b.plan, b)
	if err != nil {
		return err
	}
	if below, ok := strings.CutPrefix(prompt, backend.ClaudePath); ok {
		b.prompt = b.place(backend.PlaceClaude) + below
	}
	return b.withWorkspace(func(root *os.Root) (err error) {
		b.before, err = archive.TakeBaseline(ctx, root)
		return err
	})
}

// Extract implements backend.Target.
func (b *bottle) Extract(ctx context.Context, place backend.Place, tar io.Reader) error {
	dir, err := os.Open(b.place(place))
	if err != nil {
		return fmt.Errorf("extract into place: %w", err)
	}
	defer func() { _ = dir.Close() }()
	_, err = archive.Extract(ctx, dir, tar, archive.Options{UID: os.Geteuid(), GID: os.Getegid()})
	return err
}

func (b *bottle) withWorkspace(do func(*os.Root) error) error {
	root, err := os.OpenRoot(b.place(backend.PlaceWorkspace))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return do(root)
}

// Name implements backend.Bottle.
func (b *bottle) Name() string { return b.id.Name }

// CopyIn implements backend.Bottle.
func (b *bottle) CopyIn(ctx context.Context, hostPath, bottlePath string) error {
	return provision.CopyIn(ctx, hostPath, bottlePath, b)
}

// Unsaved implements backend.Unsaver.
func (b *bottle) Unsaved(ctx context.Context) (backend.Unsaved, error) {
	unsaved := backend.Unsaved{Workspace: b.place(backend.PlaceWorkspace), Handle: b.id.Handle()}
	if _, err := os.Lstat(unsaved.Workspace); errors.Is(err, os.ErrNotExist) {
		return unsaved, nil
	}
	err := b.withWorkspace(func(root *os.Root) error {
		return archive.Differ(ctx, root, b.before, func(path string) {
			unsaved.Changed++
			unsaved.Paths = append(unsaved.Paths, path)
		})
	})
	return unsaved, err
}

// Close implements backend.Bottle.
func (b *bottle) Close(ctx context.Context) error {
	b.backend.mu.Lock()
	detached := b.detached
	b.backend.mu.Unlock()
	if !detached {
		b.backend.takeDown(context.WithoutCancel(ctx), b, b.plan.Discard)
	}
	return nil
}

// status is the bottle as it is listed. The caller holds the backend's lock.
func (b *bottle) status() backend.Status {
	status := backend.Status{
		Name: b.id.Name, ID: b.id.String(), Agent: b.plan.Agent, Bottle: b.plan.Bottle, Phase: backend.PhaseStarting,
		Image: b.plan.Image.Reference, Plan: b.plan.Digest(), Created: b.created, Workspace: b.place(backend.PlaceWorkspace),
		Detached: b.detached, Outcome: b.outcome, Declaration: b.declared,
	}
	switch {
	case b.dead:
		status.Phase = backend.PhaseDead
	case b.ready:
		status.Phase = backend.PhaseRunning
	}
	return status
}

// command finds the program on the bottle's PATH, and says with which code it can't be run.
func (b *bottle) command(argv []string) (*exec.Cmd, int, error) {
	if len(argv) == 0 {
		return nil, exitOurs, fmt.Errorf("run claude: the command is empty: %w", errdefs.ErrInvalidArgument)
	}
	b.mu.Lock()
	gone := b.ended
	b.mu.Unlock()
	if gone {
		return nil, exitOurs, fmt.Errorf("bottle %s is gone: %w", b.id.Name, errdefs.ErrFailedPrecondition)
	}
	bin := filepath.Join(b.dir, "bin")
	path := argv[0]
	if !strings.Contains(path, "/") {
		for _, dir := range []string{"/bin", "/usr/bin", bin} {
			if candidate := filepath.Join(dir, argv[0]); isFile(candidate) {
				path = candidate
			}
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 127, fmt.Errorf("no %s on the PATH: %w", argv[0], errdefs.ErrNotFound)
	case info.Mode()&0o111 == 0:
		return nil, 126, fmt.Errorf("%s can't be executed: %w", argv[0], errdefs.ErrPermissionDenied)
	}
	if b.prompt != "" {
		argv = slices.Concat(argv[:1], []string{"--append-system-prompt-file", b.prompt}, argv[1:])
	}
	command := exec.Command(path, argv[1:]...) //nolint:noctx // ended with its group, by the bottle
	command.Dir = b.place(backend.PlaceWorkspace)
	// Of a name that is there twice the last counts.
	command.Env = append(slices.Clone(b.env), "PATH="+bin+":/usr/bin:/bin", "HOME="+b.place(backend.PlaceHome), "TERM=xterm")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command, 0, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// start starts a command by how, unless the bottle goes.
func (b *bottle) start(command *exec.Cmd, how func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return fmt.Errorf("bottle %s is gone: %w", b.id.Name, errdefs.ErrFailedPrecondition)
	}
	if err := how(); err != nil {
		return err
	}
	if b.running == nil {
		b.running = map[*exec.Cmd]bool{}
	}
	b.running[command] = true
	b.all.Add(1)
	return nil
}

// over notes that a command has been waited for.
func (b *bottle) over(command *exec.Cmd) {
	b.mu.Lock()
	delete(b.running, command)
	b.mu.Unlock()
	b.all.Done()
}

// kill sends a signal to a command's group.
func kill(command *exec.Cmd, signal syscall.Signal) { _ = syscall.Kill(-command.Process.Pid, signal) }

// end ends everything that runs in the bottle.
func (b *bottle) end() {
	b.mu.Lock()
	b.ended = true
	for command := range b.running {
		kill(command, syscall.SIGKILL)
	}
	b.mu.Unlock()
	b.all.Wait()
}
