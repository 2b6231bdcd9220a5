package engine

import (
	_ "embed" // the configuration
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// DefaultIdle is how long an engine that nobody uses goes on.
const DefaultIdle = 5 * time.Minute

// Options say where an engine lies.
type Options struct {
	// Root and RunRoot are the program's own: what outlives a reboot, and what does not.
	Root, RunRoot string
	// Libexec holds containerd, its shim and the runtimes.
	Libexec string
}

// Engine is the one containerd of a pair of roots, whether it runs or not. It holds
// nothing: all that it says it looks up.
type Engine struct{ root, state, libexec string }

// New names an engine. The roots are absolute.
func New(options Options) *Engine {
	return &Engine{
		root: filepath.Join(options.Root, "containerd"), state: filepath.Join(options.RunRoot, "containerd"),
		libexec: options.Libexec,
	}
}

// Address is the absolute path of its socket.
func (e *Engine) Address() string { return filepath.Join(e.state, "containerd.sock") }

// Binary is the containerd that it runs.
func (e *Engine) Binary() string { return filepath.Join(e.libexec, "containerd") }

// Log is where the daemon and its keeper write to.
func (e *Engine) Log() string { return filepath.Join(e.root, "engine.log") }

// config has another name than the one of hack/containerd.sh: a daemon that a person has
// started is no engine, and nobody ends it for being idle.
func (e *Engine) config() string     { return filepath.Join(e.state, "engine.toml") }
func (e *Engine) startLock() string  { return filepath.Join(e.state, "start.lock") }
func (e *Engine) useLock() string    { return filepath.Join(e.state, "use.lock") }
func (e *Engine) keeperLock() string { return filepath.Join(e.state, "keeper.lock") }

// Answers says whether something listens on the socket. containerd does so last of all.
func (e *Engine) Answers() bool {
	const bound = 2 * time.Second
	conn, err := net.DialTimeout("unix", e.Address(), bound)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Running names the tasks that there are, as NAMESPACE/NAME: each has a directory.
func (e *Engine) Running() ([]string, error) {
	tasks, err := filepath.Glob(filepath.Join(e.state, "io.containerd.runtime.v2.task", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("look for tasks: %w", err)
	}
	for i, path := range tasks {
		tasks[i] = filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
	}
	return tasks, nil
}

//go:embed containerd.toml
var configTemplate string

// Config is the configuration of a private containerd with those paths.
func Config(root, state, address string) (string, error) {
	quoted := func(path string) (string, error) { // JSON's strings are TOML's
		text, err := json.Marshal(path)
		return strings.Trim(string(text), `"`), err
	}
	var pairs []string
	for _, pair := range [][2]string{{"@ROOT@", root}, {"@STATE@", state}, {"@ADDRESS@", address}} {
		value, err := quoted(pair[1])
		if err != nil {
			return "", fmt.Errorf("write configuration of containerd: %w", err)
		}
		pairs = append(pairs, pair[0], value)
	}
	return strings.NewReplacer(pairs...).Replace(configTemplate), nil
}

// wayThrough is the mode of directories that the root of a user namespace must pass.
const wayThrough = 0o711

// prepare makes the directories. What is there already must be root's alone to change.
func (e *Engine) prepare() error {
	if len(e.Address()) >= len(unix.RawSockaddrUnix{}.Path)-len(".ttrpc") {
		return fmt.Errorf("the path %s is too long for a socket: choose a shorter --run-root: %w", e.Address(), errdefs.ErrInvalidArgument)
	}
	for _, dir := range []string{filepath.Dir(e.root), e.root, filepath.Dir(e.state), e.state} {
		if err := os.MkdirAll(filepath.Dir(dir), wayThrough); err != nil {
			return fmt.Errorf("make directory of the engine (--root and --run-root name others): %w", err)
		}
		err := os.Mkdir(dir, wayThrough)
		if err == nil {
			err = os.Chmod(dir, wayThrough)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make directory of the engine (--root and --run-root name others): %w", err)
		}
		if err := checkOwned(dir); err != nil {
			return err
		}
	}
	return nil
}

func checkOwned(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check directory of the engine: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a directory of root's that nobody else can write to: move it away, or choose others with --root and --run-root: %w", dir, errdefs.ErrFailedPrecondition)
	}
	return nil
}
