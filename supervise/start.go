package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that a supervisor inherits beside the standard ones.
const (
	lockDescriptor     = 3 // keeps the bottle's flock held
	launcherDescriptor = 4 // stream to the process that launched the bottle
)

// Launch says how a supervisor is started.
type Launch struct {
	// Executable and Args are its command line.
	Executable string
	Args       []string
	Config     Config
	// Lock is the bottle's lock file, held: the supervisor inherits it.
	Lock *os.File
	// Held are further files that are to stay open as long as it runs.
	Held []*os.File
	// Log is the file that its log is appended to.
	Log string
}

// Start starts a supervisor in a session of its own, so that no signal of the
// terminal reaches it, and returns the client that it watches: when the client
// is closed, or dies, the supervisor takes the bottle down.
func Start(ctx context.Context, launch Launch) (*Client, error) {
	config, err := json.Marshal(launch.Config)
	if err != nil {
		return nil, fmt.Errorf("encode supervisor configuration: %w", err)
	}
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = far.Close() }()
	logFile, err := os.OpenFile(launch.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		_ = near.Close()
		return nil, fmt.Errorf("open supervisor log: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	// Not CommandContext: it outlives the call by design.
	command := exec.Command(launch.Executable, launch.Args...) //nolint:gosec,noctx // our own binary
	command.Stdin = bytes.NewReader(config)
	command.Stdout, command.Stderr = logFile, logFile
	command.ExtraFiles = append([]*os.File{launch.Lock, far}, launch.Held...)
	command.Dir = "/"
	command.Env = Environment(os.Environ())
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		_ = near.Close()
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	client, err := newClient(near)
	if err != nil {
		_ = near.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, err
	}
	go func() {
		defer close(client.ended)
		_ = command.Wait() // its log says how it went
		status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
		client.killed = ok && status.Signaled()
	}()
	return client, nil
}

// Environment is what a supervisor, and who starts one, needs of ours: where the network's
// certificates and proxies are, and the home of commands that renew secrets.
// Nothing of it reaches the bottle.
func Environment(ours []string) []string {
	list := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOTRACEBACK=none"}
	for _, variable := range ours {
		name, _, _ := bytes.Cut([]byte(variable), []byte("="))
		switch string(name) {
		case "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy":
			list = append(list, variable)
		}
	}
	return list
}

func socketPair() (net.Conn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	nearFile, far := os.NewFile(uintptr(pair[0]), "launcher"), os.NewFile(uintptr(pair[1]), "supervisor")
	near, err := net.FileConn(nearFile)
	_ = nearFile.Close()
	if err != nil {
		_ = far.Close()
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	return near, far, nil
}

// Inherited are the descriptors that Start has handed over, seen from the
// supervisor.
type Inherited struct {
	Lock     *os.File
	Launcher net.Conn
}

// Inherit takes them up. It fails when the process was not started by Start.
func Inherit() (Inherited, error) {
	lock := os.NewFile(lockDescriptor, "lock")
	stream := os.NewFile(launcherDescriptor, "launcher")
	if lock == nil || stream == nil {
		return Inherited{}, fmt.Errorf("inherit descriptors: this command is started by claude-bottle itself: %w", os.ErrInvalid)
	}
	unix.CloseOnExec(lockDescriptor)
	// What is merely held, no program that this one starts may have.
	if err := unix.CloseRange(launcherDescriptor+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return Inherited{}, fmt.Errorf("keep descriptors from programs: %w", err)
	}
	launcher, err := net.FileConn(stream)
	_ = stream.Close()
	if err != nil {
		return Inherited{}, fmt.Errorf("inherit descriptors: this command is started by claude-bottle itself: %w", err)
	}
	return Inherited{Lock: lock, Launcher: launcher}, nil
}
