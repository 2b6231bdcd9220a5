// Package services runs the program as a service of real init systems: in machines with
// systemd or OpenRC as the first process, made of Debian's packages and of ours, that are
// booted, upgraded and powered off. `make services` runs it: the machines come from a
// mirror, and the package is that of a release.
package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/creack/pty"
)

// machine is a root directory and the init that was booted in it, in namespaces and
// cgroups of its own.
type machine struct {
	testing.TB
	root, name string
	pid        int // of the init, as this host knows it
	boot       *exec.Cmd
	plug       io.Closer // pulls it
	console    *bottletest.Page
	copied     chan struct{}
}

// newMachine boots a machine with that init system, where our package is installed.
func newMachine(t *testing.T, initSystem string) *machine {
	t.Helper()
	libexec, err := containerdtest.Libexec()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("", "machine") //nolint:usetesting // it goes with the machine, later than t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{TB: t, root: root, name: filepath.Base(root), console: &bottletest.Page{}}
	t.Cleanup(m.gone)
	if output, err := exec.Command("tar", "-C", root, "-xpf", filepath.Join(libexec, "machines", initSystem+".tar")).CombinedOutput(); err != nil { //nolint:noctx // it ends by itself
		t.Fatalf("unpack machine (hack/setup.sh services makes it): %v: %s", err, output)
	}
	m.write("etc/hostname", "machine\n")
	m.copies(filepath.Join(libexec, "images", "test.tar"), "root/test.tar")
	packages, err := filepath.Glob(filepath.Join(filepath.Dir(libexec), "dist", "claude-bottle_*_linux_"+runtime.GOARCH+".deb"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("one package is wanted in dist (make release makes it): %v %v", packages, err)
	}
	m.copies(packages[0], "root/claude-bottle.deb")
	m.powerOn()
	return m
}

func (m *machine) write(name, text string) {
	m.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil { //nolint:gosec // users of the machine read it
		m.Fatal(err)
	}
}

func (m *machine) copies(from, to string) {
	m.Helper()
	if output, err := exec.Command("cp", "--reflink=auto", from, filepath.Join(m.root, to)).CombinedOutput(); err != nil { //nolint:noctx // it ends by itself
		m.Fatalf("%v: %s", err, output)
	}
}

// powerOn boots it. Who runs a command is to wait until the init is ready for it.
func (m *machine) powerOn() {
	m.Helper()
	master, terminal, err := pty.Open()
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	m.boot = exec.Command("../../hack/machine/boot.sh", m.root, m.name) //nolint:noctx // it ends with its input
	m.boot.Stderr = terminal
	m.boot.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the test, and the plug is pulled
	stdin, stdinErr := m.boot.StdinPipe()
	stdout, stdoutErr := m.boot.StdoutPipe()
	if err := errors.Join(stdinErr, stdoutErr, m.boot.Start()); err != nil {
		m.Fatal(err)
	}
	m.plug, m.copied = stdin, make(chan struct{})
	go func() {
		defer close(m.copied)
		_, _ = io.Copy(m.console, master)
		_ = master.Close()
	}()
	if _, err := fmt.Fscan(stdout, &m.pid); err != nil {
		m.Fatalf("it does not boot: %v: %s", err, m.console.String())
	}
}

// awaitOff waits until the machine has powered itself off.
func (m *machine) awaitOff() {
	m.Helper()
	ended := make(chan error, 1)
	boot, began := m.boot, time.Now()
	go func() { ended <- boot.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			m.Fatalf("power off: %v", err)
		}
		m.boot = nil
		m.pullPlug()
		m.Logf("it has powered off in %s", time.Since(began).Round(time.Second))
	case <-time.After(bottletest.Patience):
		m.Fatalf("it does not power off: %s", m.console.String())
	}
}

// pullPlug ends it, if it is on.
func (m *machine) pullPlug() {
	_ = m.plug.Close()
	if m.boot != nil {
		_ = m.boot.Wait()
		m.boot = nil
	}
	<-m.copied
}

// gone ends the machine, and proves that nothing of it is left.
func (m *machine) gone() {
	if m.Failed() {
		m.Logf("its console:\n%s", m.console.String())
	}
	if m.boot != nil {
		m.pullPlug()
	}
	if err := os.RemoveAll(m.root); err != nil {
		m.Error(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(m.root)) {
		m.Errorf("its mounts are left: %v: %s", err, mounts)
	}
	if left := m.cgroups(""); len(left) > 0 {
		m.Errorf("its cgroups are left: %s", left)
	}
}

// cgroups are those of the machine with that name, one a hierarchy.
func (m *machine) cgroups(name string) []string {
	var list []string
	for _, pattern := range []string{"/sys/fs/cgroup/%s/%s", "/sys/fs/cgroup/*/%s/%s"} {
		found, _ := filepath.Glob(fmt.Sprintf(pattern, m.name, name))
		list = append(list, found...)
	}
	return list
}

// enter is a script whose arguments are cgroups, "--", and a command that runs in them, as
// a login's.
const enter = `while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs"; shift; done; shift; exec "$@"`

// command runs in the machine, as root would in a shell.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append([]string{"-c", enter, "sh"}, m.cgroups("login")...)
	line = append(line, "--", "nsenter", "--target", strconv.Itoa(m.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--")
	command := exec.CommandContext(ctx, "sh", append(line, args...)...)
	command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root", "ANTHROPIC_API_KEY=" + bottletest.Key}
	return command
}

// run runs a command of root's.
func (m *machine) run(args ...string) bottletest.Result {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bottletest.Patience)
	defer cancel()
	command := m.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		m.Fatalf("run %v: %v\nstdout: %s\nstderr: %s", args, err, stdout.String(), stderr.String())
	}
	return bottletest.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: command.ProcessState.ExitCode()}
}

// as runs the program for a user.
func (m *machine) as(user string, args ...string) bottletest.Result {
	m.Helper()
	if user == "root" {
		return m.run(append([]string{"claude-bottle"}, args...)...)
	}
	return m.run(append([]string{"runuser", "-u", user, "--", "env", "HOME=/home/" + user, "claude-bottle"}, args...)...)
}

// supervisors are the pids of those who hold its bottles, as this host knows them.
func (m *machine) supervisors() []string {
	m.Helper()
	return m.processes("/usr/bin/claude-bottle supervise ")
}

// controllers are the pids of those who are services, as this host knows them.
func (m *machine) controllers() []string {
	m.Helper()
	return m.processes("/usr/bin/claude-bottle controller ")
}

// processes are those of the machine whose command lines begin so.
func (m *machine) processes(begin string) (pids []string) {
	m.Helper()
	own, err := os.Stat(m.root)
	directories, globErr := filepath.Glob("/proc/[0-9]*")
	if err := errors.Join(err, globErr); err != nil {
		m.Fatal(err)
	}
	for _, directory := range directories {
		line, _ := os.ReadFile(filepath.Join(directory, "cmdline"))
		root, err := os.Stat(filepath.Join(directory, "root", "."))
		if err == nil && os.SameFile(own, root) && strings.HasPrefix(strings.ReplaceAll(string(line), "\x00", " "), begin) {
			pids = append(pids, filepath.Base(directory))
		}
	}
	return pids
}
