// Package containerdtest gives a test a containerd of its own: with its own
// root, state and socket, without CRI, gone without a trace when the test ends.
// It also keeps a ledger of what a bottle may leave behind. It knows containerd
// and the kernel, and nothing of bottles; no program imports it.
package containerdtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

// Bounds of the daemon's life.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
)

// Options choose the daemon.
type Options struct {
	// Version is "2.4", "1.7" or "1.6"; "" takes "2.4".
	Version string
	// Path are the directories in which the daemon finds OCI runtimes; nil
	// takes libexec. The shim and the host's own programs are always found.
	Path []string
}

// Daemon is a running containerd.
type Daemon struct {
	// Address is the absolute path of the socket.
	Address string
	// Root and State are the daemon's own directories.
	Root, State string
	// Dir holds everything of this daemon. A test may keep files of its own
	// below it: they go with it.
	Dir string
	// Libexec is where the project's tools are.
	Libexec string

	options Options
	binary  string
	log     *os.File
	client  *containerd.Client
	watch   *watch

	mu     sync.Mutex
	pid    int           // 0 while it is down
	exited chan struct{} // closed when the process has been reaped
}

// Start runs a daemon until the test ends. Its log is shown when the test has
// failed. Without root the test is skipped: containerd can't run then.
func Start(t testing.TB, options Options) *Daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	d, err := Launch(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of containerd %s:\n%s", d.options.Version, d.Log())
		}
		if err := d.Close(); err != nil {
			t.Errorf("close containerd: %v", err)
		}
	})
	return d
}

// Launch is Start for a TestMain. The caller closes the Daemon.
func Launch(options Options) (_ *Daemon, err error) {
	if options.Version == "" {
		options.Version = "2.4"
	}
	libexec, err := Libexec()
	if err != nil {
		return nil, err
	}
	sweepDead()
	d := &Daemon{Libexec: libexec, options: options}
	if d.Dir, err = makeDir(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	d.Address = filepath.Join(d.Dir, "containerd.sock")
	d.Root, d.State = filepath.Join(d.Dir, "root"), filepath.Join(d.Dir, "state")
	if err := d.install(); err != nil {
		return nil, err
	}
	if d.client, err = newClient(d.Address); err != nil {
		return nil, err
	}
	if err := d.Up(); err != nil {
		return nil, err
	}
	d.watch = newWatch(d.client, d.Address)
	return d, nil
}

// Libexec is the directory of the project's tools: CLAUDE_BOTTLE_TEST_LIBEXEC,
// or libexec at the root of the module that the test runs in.
func Libexec() (string, error) {
	if dir := os.Getenv("CLAUDE_BOTTLE_TEST_LIBEXEC"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "libexec"), nil
		}
		if dir == "/" {
			return "", errors.New("no go.mod above the test's directory: set CLAUDE_BOTTLE_TEST_LIBEXEC")
		}
	}
}

// Up starts the daemon, again after Kill, and waits until it answers.
func (d *Daemon) Up() error {
	path := d.options.Path
	if path == nil {
		path = []string{d.Libexec}
	}
	path = append([]string{filepath.Join(d.Dir, "bin")}, path...)
	path = append(path, "/usr/sbin", "/usr/bin", "/sbin", "/bin")
	command := exec.Command(d.binary, "--config", d.configPath())
	command.Env = []string{"HOME=/root", "LANG=C.UTF-8", "PATH=" + strings.Join(path, ":")}
	command.Stdout, command.Stderr = d.log, d.log
	// The daemon goes with the test, whatever happens to the test.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.run(command); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if d.answers(ctx) {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("containerd ended at once, saying:\n%s", d.Log())
		case <-ctx.Done():
			return fmt.Errorf("containerd gives no answer within %s, saying:\n%s", startTimeout, d.Log())
		case <-tick.C:
		}
	}
}

// run starts the command from a thread that lives as long as the command does:
// the parent-death signal comes when that thread ends.
func (d *Daemon) run(command *exec.Cmd) error {
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		goruntime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // killed, more often than not
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pid, d.exited = command.Process.Pid, exited
	return nil
}

func (d *Daemon) answers(ctx context.Context) bool {
	if _, err := os.Stat(d.Address); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := d.client.Version(ctx)
	return err == nil
}

// Pid is the daemon's process, or 0 while it is down.
func (d *Daemon) Pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pid
}

// Signal sends the daemon a signal: SIGSTOP makes it hang, SIGCONT lets it go
// on.
func (d *Daemon) Signal(signal syscall.Signal) error {
	pid := d.Pid()
	if pid == 0 {
		return os.ErrProcessDone
	}
	return syscall.Kill(pid, signal)
}

// Kill ends the daemon by SIGKILL. What it runs goes on; Up starts it again.
func (d *Daemon) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pid == 0 {
		return nil
	}
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill containerd: %w", err)
	}
	select {
	case <-d.exited:
	case <-time.After(stopTimeout):
		return fmt.Errorf("containerd %d does not die within %s", d.pid, stopTimeout)
	}
	d.pid = 0
	return nil
}

// Close ends the daemon and everything that it still runs, and removes all of
// it.
func (d *Daemon) Close() error {
	if d.watch != nil {
		d.watch.close()
	}
	if d.client != nil {
		_ = d.client.Close()
	}
	err := d.Kill()
	if d.log != nil {
		_ = d.log.Close()
	}
	return errors.Join(err, wipe(d.Dir, d.watch.seen()))
}

// Log is what the daemon has said so far, shims included.
func (d *Daemon) Log() string {
	file, err := os.Open(filepath.Join(d.Dir, "containerd.log"))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Client is connected to the daemon. It belongs to the Daemon; calls name the
// namespace in their context.
func (d *Daemon) Client() *containerd.Client { return d.client }

// RuntimePath is the absolute path of runc or runsc among the project's tools.
func (d *Daemon) RuntimePath(name string) string { return filepath.Join(d.Libexec, name) }

// Become kills the daemon and starts that version in its place, on the same root and
// socket. What it ran goes on.
func (d *Daemon) Become(version string) error {
	if err := d.Kill(); err != nil {
		return err
	}
	d.options.Version = version
	_ = d.log.Close()
	if err := os.RemoveAll(filepath.Join(d.Dir, "bin")); err != nil {
		return err
	}
	if err := d.install(); err != nil {
		return err
	}
	return d.Up()
}
