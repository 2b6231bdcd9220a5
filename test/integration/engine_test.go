package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/engine"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// machine is a root directory with nothing but the program and its parts, and mounts and a
// network of its own: all that it shares with the host are the kernel and the processes.
type machine struct {
	testing.TB
	root   string
	holder *exec.Cmd // keeps the namespaces
}

// furnish makes a directory the root of its mount namespace. No chroot: in one the kernel
// makes no user namespaces.
const furnish = `set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount --move . /
echo ready
exec cat`

func newMachine(t *testing.T) *machine {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "cb") //nolint:usetesting // its mounts go with the holder, later than t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{TB: t, root: root}
	m.install()
	m.holder = exec.Command("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", furnish, "sh", root) //nolint:noctx // ended below
	stdin, stdinErr := m.holder.StdinPipe()
	stdout, stdoutErr := m.holder.StdoutPipe()
	m.holder.Stderr = os.Stderr
	if err := errors.Join(stdinErr, stdoutErr, m.holder.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.clear()
		_ = stdin.Close()
		_ = m.holder.Wait()
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, ready); err != nil {
		t.Fatalf("no machine: %v", err)
	}
	return m
}

// install puts the programs of a release in place, and a user's files.
func (m *machine) install() {
	m.Helper()
	release := exec.Command("../../hack/release/release.sh", "programs", m.root) //nolint:noctx // it ends by itself
	if output, err := release.CombinedOutput(); err != nil {
		m.Fatalf("%v: %s", err, output)
	}
	for _, directory := range []string{"proc", "sys", "dev", "run", "tmp"} {
		if err := os.Mkdir(filepath.Join(m.root, directory), 0o755); err != nil {
			m.Fatal(err)
		}
	}
	for name, runs := range map[string]string{"lives": "echo up; exec sleep 3600", "says": "cat /proc/version"} {
		m.write("root/.claude-bottle/agents/"+name+".md", "---\nbottle: "+name+"\n---\n")
		m.write("root/.claude-bottle/bottles/"+name+".md", "---\nimage: "+containerdtest.TestImage+"\nenv:\n  FAKE_CLAUDE_RUN: "+runs+"\n---\n")
	}
	if err := os.Chmod(m.root, 0o755); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		m.Fatal(err)
	}
}

// run runs the program as it is installed in the machine.
func (m *machine) run(arguments ...string) bottletest.Result {
	m.Helper()
	enter := []string{"--target", strconv.Itoa(m.holder.Process.Pid), "--mount", "--net", "--", "/bin/claude-bottle"}
	command := exec.Command("nsenter", append(enter, arguments...)...) //nolint:noctx // it ends by itself
	command.Env = []string{"HOME=/root", "ANTHROPIC_API_KEY=" + bottletest.Key, "CLAUDE_BOTTLE_NO_CONTROLLER=1"}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.Error(err)
	}
	return bottletest.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: command.ProcessState.ExitCode()}
}

// imports puts the test image into the engine, from outside.
func (m *machine) imports() {
	m.Helper()
	libexec, err := containerdtest.Libexec()
	if err != nil {
		m.Fatal(err)
	}
	status := m.status()
	address := filepath.Join("/proc", strconv.Itoa(status.PID), "root", status.Address)
	load := exec.Command(filepath.Join(libexec, "ctr"), "--address", address, "--namespace", bottletest.Namespace, //nolint:noctx // it ends by itself
		"images", "import", "--local", filepath.Join(libexec, "images", "test.tar"))
	if output, err := load.CombinedOutput(); err != nil {
		m.Fatalf("import: %v: %s", err, output)
	}
}

func (m *machine) status() engine.Status {
	m.Helper()
	var status engine.Status
	r := m.run("engine", "status", "-o", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil || status.Running != (r.Code == 0) {
		m.Fatalf("status: %v, exit code %d: %s%s", err, r.Code, r.Stdout, r.Stderr)
	}
	return status
}

// kill kills processes of the machine, which have their numbers here, too.
func (m *machine) kill(pids ...int) {
	m.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); pid == 0 || err != nil {
			m.Fatalf("kill %d: %v", pid, err)
		}
	}
}

// residents are the processes that have the machine's root.
func (m *machine) residents() (list []string) {
	own, err := os.Stat(m.root)
	directories, globErr := filepath.Glob("/proc/[0-9]*")
	if err := errors.Join(err, globErr); err != nil {
		m.Fatal(err)
	}
	for _, directory := range directories {
		root, err := os.Stat(filepath.Join(directory, "root", "."))
		if err != nil || !os.SameFile(own, root) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(directory, "cmdline"))
		list = append(list, filepath.Base(directory)+" "+strings.ReplaceAll(string(line), "\x00", " "))
	}
	return list
}

// clear ends what a test that has failed has left.
func (m *machine) clear() {
	if m.Failed() {
		m.Logf("log of the engine:\n%s", m.run("engine", "logs").Stdout)
		m.run("stop", "lives")
		m.run("engine", "stop", "--force")
	}
	for _, resident := range m.residents() {
		pid, err := strconv.Atoi(strings.Fields(resident)[0])
		if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			m.Errorf("left behind: %s", resident)
		}
	}
}

// TestF7_AnEmptyMachineRunsBottlesOnTheBundledEngine: with no containerd, runc or runsc but
// those that come with the program, and whatever of the engine is killed.
func TestF7_AnEmptyMachineRunsBottlesOnTheBundledEngine(t *testing.T) {
	m := newMachine(t)
	if m.status().Running {
		t.Fatal("an engine runs already")
	}
	bottletest.Contains(t, m.run("--no-engine", "list").Want(t, 1).Stderr, "no containerd answers", "--no-engine")

	var group sync.WaitGroup
	var starts bottletest.Page
	for range 4 {
		group.Go(func() { _, _ = io.WriteString(&starts, m.run("--engine-idle", "0", "list").Want(t, 0).Stderr) })
	}
	group.Wait()
	if count := strings.Count(starts.String(), "started the bundled engine"); count != 1 {
		t.Errorf("%d of four have started an engine: %s", count, starts.String())
	}
	m.imports()
	status := m.status()
	m.run("start", "lives", "--yes", "--detach", "--quiet").Want(t, 0)
	bottletest.Contains(t, m.run("list").Want(t, 0).Stdout, "Running", "gvisor")
	bottletest.Contains(t, m.run("engine", "stop").Want(t, 3).Stderr, "claude-bottle/lives", "--force")
	alive := func() {
		t.Helper()
		r := m.run("--engine-idle", "0", "exec", "lives", "--", "echo", "alive").Want(t, 0)
		if r.Stdout != "alive\n" {
			t.Errorf("the bottle says %q", r.Stdout)
		}
	}
	m.kill(status.Keeper)
	bottletest.Eventually(t, "the keeper is gone", func() bool { return m.status().Keeper == 0 })
	alive()
	after := m.status()
	if after.PID != status.PID || after.Keeper == 0 || after.Keeper == status.Keeper {
		t.Errorf("a keeper was killed: %+v became %+v", status, after)
	}
	m.kill(after.PID)
	bottletest.Eventually(t, "the keeper brings containerd back", func() bool { s := m.status(); return s.Running && s.PID != 0 && s.PID != after.PID })
	alive()
	after = m.status()
	m.kill(after.Keeper, after.PID)
	bottletest.Eventually(t, "both are gone", func() bool { s := m.status(); return !s.Running && s.Keeper == 0 })
	alive() // the first command that comes has started it
	bottletest.Contains(t, m.run("engine", "stop", "--force").Want(t, 0).Stdout, "stopped the engine (process ", "lives on: claude-bottle/")
	bottletest.Contains(t, m.run("--engine-idle", "0", "stop", "lives").Want(t, 0).Stderr, "started the bundled engine")
	m.run("rm", "lives", "--discard").Want(t, 0)
	bottletest.Contains(t, m.run("engine", "stop").Want(t, 0).Stdout, "stopped the engine (process ")
	bottletest.Contains(t, m.run("engine", "stop").Want(t, 0).Stdout, "nothing was stopped")

	r := m.run("--engine-idle", "500ms", "start", "says", "--yes", "--quiet").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "PST 2016")
	bottletest.Eventually(t, "an engine that nobody uses ends", func() bool { return !m.status().Running && len(m.residents()) == 0 })
}
