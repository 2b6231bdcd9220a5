package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
)

// bring puts the program that attacks into the working directory.
func bring(t *testing.T, u *bottletest.User) {
	t.Helper()
	copyFile(t, attack, filepath.Join(u.Cwd, "attack"))
}

// workspace is the one workspace that there is, as the host sees it.
func workspace(t *testing.T, u *bottletest.User) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "workspace"))
	if err != nil || len(found) != 1 {
		t.Fatalf("workspaces are %v, %v", found, err)
	}
	return found[0]
}

// exists says that there is a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// terminalOf opens the terminal that a screen's command has, without making it
// anybody's.
func terminalOf(t *testing.T, s *bottletest.Screen) *os.File {
	t.Helper()
	number, err := unix.IoctlGetInt(int(s.Master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal
}

// waiting is how many bytes a terminal holds for whoever reads it next.
func waiting(t *testing.T, terminal *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestT24_NothingInsideTypesIntoTheUsersTerminal(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		bring(t, u)
		does(u, "exec ./attack types 'touch /tmp/typed-by-a-bottle'")
		s := u.OnTerminal("start", "tester", "--yes", "--discard", "--cwd", "--runtime", runtime)
		terminal := terminalOf(t, s)
		s.Shows("waiting")
		noDescriptorOf(t, s, terminal)

		// While the program stands still, what is typed into its terminal
		// stays there to be counted.
		if err := s.Process.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		bottletest.Eventually(t, "the program stands still", func() bool { return state(s.Process.Process.Pid) == "T" })
		work := workspace(t, u)
		if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		bottletest.Eventually(t, "the attack is over", func() bool { return exists(filepath.Join(work, "said")) })
		said := u.Work("said")
		bottletest.Contains(t, said, "TIOCSTI /proc/self/fd/0: ", "TIOCSTI /dev/tty: ", "TIOCLINUX paste /proc/self/fd/0: ", "TIOCLINUX select /dev/tty: ")
		for line := range strings.Lines(said) {
			// Its own terminal is the agent's to type into; consoles are nobody's.
			if strings.HasPrefix(line, "TIOCLINUX") && strings.HasSuffix(line, ": done\n") {
				t.Errorf("%s", line)
			}
		}
		if n := waiting(t, terminal); n != 0 {
			t.Errorf("%d bytes were typed into the user's terminal; inside it was said:\n%s", n, said)
		}
		if err := s.Process.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if code := s.Ends(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if n := waiting(t, terminal); n != 0 {
			t.Errorf("%d bytes are left for the user's shell", n)
		}
		if exists("/tmp/typed-by-a-bottle") {
			t.Error("the host has run the line")
		}
		// Were the terminal deaf, the test would show nothing.
		for _, key := range []byte("x\n") {
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, terminal.Fd(), unix.TIOCSTI, uintptr(unsafe.Pointer(&key))); errno != 0 {
				t.Fatal(errno)
			}
		}
		if n := waiting(t, terminal); n != 2 {
			t.Errorf("the host typed 2 bytes, and %d wait", n)
		}
	})
}

// state is the letter of a process's state.
func state(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	return fields[0]
}

// noDescriptorOf fails when a process of the bottle, or one that serves it, has
// anything open of the file system that the terminal lies in: it, or another
// terminal of the host's.
func noDescriptorOf(t *testing.T, s *bottletest.Screen, terminal *os.File) {
	t.Helper()
	var host unix.Stat_t
	if err := unix.Fstat(int(terminal.Fd()), &host); err != nil {
		t.Fatal(err)
	}
	holds := func(pid int) (held []string) {
		descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, descriptor := range descriptors {
			var stat unix.Stat_t
			if unix.Stat(descriptor, &stat) == nil && stat.Dev == host.Dev {
				held = append(held, descriptor)
			}
		}
		return held
	}
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	list, err := s.Daemon.Client().Containers(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("containers are %v, %v", list, err)
	}
	task, err := list[0].Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	servants := s.Daemon.Servants(s.RunRoot)
	if !slices.Contains(servants, int(task.Pid())) {
		t.Fatalf("the bottle's process %d is not among %v", task.Pid(), servants)
	}
	for _, pid := range append(servants, s.Supervisors()...) {
		for _, descriptor := range holds(pid) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			t.Errorf("%s is the host's terminal; it is of %q", descriptor, line)
		}
	}
	if len(holds(s.Process.Process.Pid)) == 0 {
		t.Error("not even the program itself was found to hold its terminal")
	}
}
