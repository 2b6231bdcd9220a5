package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// shell is a bottle in which commands can be run, for the test at hand.
type shell struct {
	*bottletest.User
	testing.TB
	name    string
	in      io.WriteCloser
	out     *bufio.Reader
	command *exec.Cmd
	count   int
}

// newShell starts a bottle with the attack in its workspace. It ends with the test.
func newShell(t *testing.T, u *bottletest.User, runtime, name string) *shell {
	t.Helper()
	program(t, u)
	does(u, "exec sh")
	s := &shell{User: u, TB: t, name: name, command: u.Command("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime, "--name", name)}
	var err error
	if s.in, err = s.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end() })
	s.does("true")
	return s
}

// does runs a command in the bottle, and returns what it prints.
func (s *shell) does(command string) string {
	s.Helper()
	s.count++
	mark := fmt.Sprintf("<%d>", s.count)
	if _, err := fmt.Fprintf(s.in, "{ %s\n} 2>&1; echo '%s'\n", command, mark); err != nil {
		s.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.Fatalf("%s: %v after %q", command, err, said.String())
		}
		before, _, found := strings.Cut(line, mark+"\n")
		said.WriteString(before)
		if found {
			return said.String()
		}
	}
}

// end ends the bottle and waits for its supervisor.
func (s *shell) end() {
	_ = s.in.Close()
	_ = s.command.Wait()
	bottletest.Eventually(s.TB, "the bottle goes", func() bool { return len(s.Supervisors()) == 0 })
}

// cp runs the verb, and fails unless it ends with that code.
func (s *shell) cp(code int, args ...string) bottletest.Result {
	s.Helper()
	return s.Run(append([]string{"cp", "--quiet"}, args...)...).Want(s.TB, code)
}

// described is a tree by its paths: types, modes, times and contents.
func described(t testing.TB, root string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		line := fmt.Sprintf("%q %s", name, info.Mode())
		if entry.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			lines = append(lines, line+" "+target)
			return err
		}
		if !entry.IsDir() || name == "empty" { // what is put into a directory changes its time
			line += fmt.Sprintf(" %d", info.ModTime().UnixNano())
		}
		if entry.Type().IsRegular() {
			data, err := os.ReadFile(path)
			lines = append(lines, fmt.Sprintf("%s %d %x", line, len(data), data[:min(len(data), 64)]))
			return err
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// nasty makes a tree of all that a copy keeps.
func nasty(t testing.TB, root string) {
	t.Helper()
	write := func(name, content string, mode fs.FileMode) {
		path := filepath.Join(root, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "content", 0o644)
	write("program", "#!/bin/sh\n", 0o755)
	write("closed", "x", 0o400)
	write(" odd\n\x1b[2Jname\xff", "x", 0o600)
	write("-rf", "", 0o600)
	write(strings.Repeat("long", 50)+"/"+strings.Repeat("name", 50), "x", 0o600)
	write("read-only/file", "x", 0o444)
	hole := filepath.Join(root, "hole")
	err := errors.Join(
		os.WriteFile(hole, nil, 0o600), os.Truncate(hole, 32<<20),
		os.Symlink("plain", filepath.Join(root, "link")), os.Symlink("../plain", filepath.Join(root, "read-only/up")),
		os.Link(filepath.Join(root, "plain"), filepath.Join(root, "hard")), os.Mkdir(filepath.Join(root, "empty"), 0o700),
		os.Chtimes(filepath.Join(root, "plain"), time.Unix(1, 5), time.Unix(1000000000, 123456789)),
		os.Chmod(filepath.Join(root, "read-only"), 0o555),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// TestT13_CopiesOfABottle is one bottle and all that is copied out of it and into
// it, and then out of what is kept of it.
func TestT13_CopiesOfABottle(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			s := newShell(t, u, runtime, "copied")
			for _, test := range []struct {
				name string
				run  func(*testing.T, *shell)
			}{
				{"RoundTrip", roundTrip},
				{"FilesOfTheRootFileSystem", rootFiles},
				{"Streams", streams},
				{"T14_SwapsWhileItIsCopied", swapped},
				{"T15_WhatIsNoFileStays", special},
				{"T16_Bombs", bombs},
				{"F17_DiskFull", diskFull},
				{"T17_ABottleThatStandsStill", stopped},
			} {
				t.Run(test.name, func(t *testing.T) { s.TB = t; test.run(t, s) })
			}
			s.TB = t
			kept(t, s)
		})
	}
}

func roundTrip(t *testing.T, s *shell) {
	source, home := filepath.Join(s.Cwd, "nasty"), filepath.Join(s.Cwd, "home")
	nasty(t, source)
	s.cp(0, source, "copied:")
	s.cp(0, source+"/.", "copied:again")
	if said := s.does("ls -A /workspace | grep claude-bottle"); said != "" {
		t.Errorf("there is %q in the workspace", said)
	}
	s.cp(0, "copied:nasty", home)
	want := described(t, source)
	if got := described(t, home); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
	s.cp(0, "copied:/workspace/again/.", home) // merged over itself
	if got := described(t, home); got != want {
		t.Errorf("merged there is\n%s\nwant\n%s", got, want)
	}
	var plain, hard, hole syscall.Stat_t
	err := errors.Join(
		syscall.Stat(filepath.Join(home, "plain"), &plain), syscall.Stat(filepath.Join(home, "hard"), &hard), syscall.Stat(filepath.Join(home, "hole"), &hole),
	)
	if err != nil || plain.Ino != hard.Ino || hole.Blocks > 64 || plain.Uid != 0 {
		t.Errorf("hard links are %d and %d, the hole has %d blocks, the owner is %d, %v", plain.Ino, hard.Ino, hole.Blocks, plain.Uid, err)
	}
	// Whoever owns the directory owns what comes into it.
	if err := errors.Join(os.Mkdir(filepath.Join(s.Cwd, "theirs"), 0o755), os.Chown(filepath.Join(s.Cwd, "theirs"), 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	s.cp(0, "copied:nasty/plain", filepath.Join(s.Cwd, "theirs"))
	if err := syscall.Stat(filepath.Join(s.Cwd, "theirs/plain"), &plain); err != nil || plain.Uid != 1234 || plain.Gid != 1234 {
		t.Errorf("the owner is %d, %v", plain.Uid, err)
	}
}

// rootFiles are outside of every mount, under gVisor in its own overlay.
func rootFiles(t *testing.T, s *shell) {
	out := filepath.Join(s.Cwd, "out")
	s.does("echo made inside > /var/tmp/file; mkdir -p /tmp/d/e; echo deep > /tmp/d/e/f")
	s.cp(0, "copied:/bin/busybox", out)
	if info, err := os.Stat(out); err != nil || info.Size() < 100_000 || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("busybox is %v, %v", info, err)
	}
	s.cp(0, "copied:/bin/ls", filepath.Join(s.Cwd, "followed")) // a link
	s.cp(0, "copied:/etc/hostname", out)
	if data, err := os.ReadFile(out); err != nil || string(data) != "copied\n" {
		t.Errorf("the host's name is %q, %v", data, err)
	}
	s.cp(0, "copied:/tmp/d/.", filepath.Join(s.Cwd, "d"))
	if data, err := os.ReadFile(filepath.Join(s.Cwd, "d/e/f")); err != nil || string(data) != "deep\n" {
		t.Errorf("what was made inside is %q, %v", data, err)
	}
	for path, want := range map[string]string{
		"/none": "not found", "/etc/hostname/": "no", "/dev/null": "neither a file nor a directory",
	} {
		bottletest.Contains(t, s.cp(1, "copied:"+path, filepath.Join(s.Cwd, "none")).Stderr, path, want)
	}
	bottletest.Contains(t, s.cp(1, out, "copied:/etc/new").Stderr, "permission denied")
	if _, err := os.Lstat(filepath.Join(s.Cwd, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy of nothing leaves %v", err)
	}
}

// streams pass a tree from outside in and out again.
func streams(t *testing.T, s *shell) {
	pack := exec.Command("tar", "--format=posix", "-C", filepath.Join(s.Cwd, "nasty"), "-c", ".")
	packed, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	pass := func(code int, stream []byte, path string) bottletest.Result {
		t.Helper()
		command := s.Command("cp", "--quiet", "-", path)
		command.Stdin = bytes.NewReader(stream)
		return s.RunCommand(command).Want(t, code)
	}
	pass(0, packed, "copied:streamed")
	for name, cut := range map[string][]byte{"cut": packed[:len(packed)/1024*512], "empty": nil, "no tar": []byte(strings.Repeat("no tar ", 300))} {
		pass(1, cut, "copied:cut")
		if said := s.does("ls -d cut 2>/dev/null"); said != "" {
			t.Errorf("F26: %s: there is %q", name, said)
		}
		bottletest.Eventually(t, "PID 1 has cleaned up", func() bool { return s.does("ls -d .claude-bottle* 2>/dev/null") == "" })
	}
	r := s.cp(0, "copied:streamed", "-")
	unpack := exec.Command("tar", "-C", s.Cwd, "-x")
	unpack.Stdin = strings.NewReader(r.Stdout)
	if output, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if got, want := described(t, filepath.Join(s.Cwd, "streamed")), described(t, filepath.Join(s.Cwd, "nasty")); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
}

// raceTime is how long copies run against what swaps names.
const raceTime = 5 * time.Second

func swapped(t *testing.T, s *shell) {
	canary := filepath.Join(s.Cwd, "canary")
	if err := errors.Join(os.Mkdir(canary, 0o755), os.WriteFile(filepath.Join(canary, "secret"), []byte("CANARY"), 0o644)); err != nil {
		t.Fatal(err)
	}
	before := described(t, canary)
	s.does(fmt.Sprintf("cd /workspace; ./attack swaps race %s %s /etc .. > swaps.log 2>&1 &", canary, filepath.Join(canary, "secret")))
	bottletest.Eventually(t, "the race has begun", func() bool { return s.does("ls -d race/other 2>/dev/null") != "" })
	home := filepath.Join(s.Cwd, "race")
	good, bad := 0, 0
	for begin := time.Now(); time.Since(begin) < raceTime || good+bad < 3; {
		switch r := s.Run("cp", "--quiet", "copied:race", home); r.Code {
		case 0:
			good++
		case 1:
			bad++
			bottletest.Contains(t, r.Stderr, "copied:/workspace/race")
		default:
			t.Fatalf("exit code %d: %s", r.Code, r.Stderr)
		}
		_ = s.Run("cp", "--quiet", filepath.Join(s.Cwd, "nasty/program"), "copied:race/dir/")
		s.noStage(s.Cwd)
		if text := described(t, canary); text != before {
			t.Fatalf("the canary is\n%s", text)
		}
		if _, err := os.Lstat(home); err == nil && strings.Contains(described(t, home), fmt.Sprintf("%x", "CANARY")) {
			t.Fatal("the canary has come home")
		}
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
	}
	s.does("touch /workspace/stop")
	bottletest.Eventually(t, "the race is over", func() bool { return s.does("cat /workspace/swapped 2>/dev/null") != "" })
	swaps, err := strconv.Atoi(strings.TrimSpace(s.does("cat /workspace/swapped")))
	if err != nil || swaps < 20*(good+bad) {
		t.Errorf("%d swaps, %d copies came and %d were refused, %v", swaps, good, bad, err)
	}
	t.Logf("%d swaps, %d copies came and %d were refused", swaps, good, bad)
	s.does("rm -rf /workspace/race /workspace/stop")
}

// noStage fails when a copy has left its temporary directory.
func (s *shell) noStage(dir string) {
	s.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, ".claude-bottle-*")); len(left) > 0 {
		s.Errorf("there is %v", left)
	}
}

func special(t *testing.T, s *shell) {
	said := s.does("cd /workspace && mkdir special && ./attack special special")
	home := filepath.Join(s.Cwd, "special")
	r := s.cp(0, "copied:special", home)
	for _, name := range []string{"fifo", "socket", "setuid", "outside", "climbing", "beside"} {
		bottletest.Contains(t, said, name+": done")
		bottletest.Contains(t, r.Stderr, "left out", name)
	}
	bottletest.Contains(t, r.Stderr, "repository/.git")
	var names []string
	entries, err := os.ReadDir(home)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if got := strings.Join(names, " "); got != "again inside repository setuid" {
		t.Errorf("there is %s", got)
	}
	info, err := os.Stat(filepath.Join(home, "setuid"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(home, "repository/.git")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("T19: the repository: %v", err)
	}
	s.cp(0, "--include-git", "copied:special/repository", filepath.Join(s.Cwd, "wanted"))
	if _, err := os.Lstat(filepath.Join(s.Cwd, "wanted/.git/config")); err != nil {
		t.Error(err)
	}
}

// bombs are refused without a trace, the source stays, and the memory is bounded.
func bombs(t *testing.T, s *shell) {
	bottletest.Contains(t, s.does("cd /workspace && ./attack deep deep && ./attack many many 3000"), "deep: done", "many: done")
	s.does("truncate -s 1024G /workspace/sparse; mkdir big; dd if=/dev/urandom of=big/file bs=1M count=40; ln -s file big/link")
	home, measured := filepath.Join(s.Cwd, "bomb"), 0
	for name, args := range map[string][]string{
		"sparse": {"copied:sparse", home}, "deep": {"copied:deep", home},
		"many": {"--max-entries", "1000", "copied:many", home}, "big": {"--max-size", "32Mi", "copied:big", home},
	} {
		begin := time.Now()
		r, peak := s.measured(append([]string{"cp", "--quiet"}, args...))
		r.Want(t, 1)
		if name != "deep" {
			bottletest.Contains(t, r.Stderr, "cap of")
		}
		if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s leaves %v", name, err)
		}
		s.noStage(s.Cwd)
		if peak > 128<<10 {
			t.Errorf("%s takes %d KiB", name, peak)
		}
		measured = max(measured, peak)
		t.Logf("%s is refused after %s, at %d KiB", name, time.Since(begin).Round(time.Millisecond), peak)
	}
	if measured < 4<<10 { // one that is refused at once may be gone before it is looked at
		t.Errorf("of no copy it was seen what it takes")
	}
	bottletest.Contains(t, s.does("ls -d /workspace/sparse /workspace/deep/d /workspace/many/2999 /workspace/big/file"), "sparse", "deep/d", "many/2999", "big/file")
	s.does("rm -rf /workspace/sparse /workspace/deep /workspace/many")
}

// measured runs the program and says how much memory it had, in KiB.
func (s *shell) measured(args []string) (r bottletest.Result, peak int) {
	s.Helper()
	command := s.Command(args...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r = s.RunCommand(command)
	}()
	for {
		select {
		case <-ended:
			return r, peak
		case <-time.After(5 * time.Millisecond):
		}
		if command.Process == nil {
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid))
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				_, _ = fmt.Sscan(value, &peak)
			}
		}
	}
}

// diskFull copies to where there is no room: nothing partial, and the path is named.
func diskFull(t *testing.T, s *shell) {
	small := filepath.Join(s.Cwd, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(small, 0) }()
	r := s.cp(1, "copied:big", small)
	bottletest.Contains(t, r.Stderr, "no space left on device", small)
	if entries, err := os.ReadDir(small); err != nil || len(entries) != 0 {
		t.Errorf("there is %v, %v", entries, err)
	}
}

// endless begins a copy that is still at work whenever it is ended.
func (s *shell) endless(home string, flags ...string) (command *exec.Cmd, stderr *bytes.Buffer) {
	s.Helper()
	s.does("truncate -s 900G /workspace/endless")
	command, stderr = s.Command(append(append([]string{"cp", "--quiet", "--max-size", "1024Gi"}, flags...), "copied:endless", home)...), new(bytes.Buffer)
	command.Stderr = stderr
	if err := command.Start(); err != nil {
		s.Fatal(err)
	}
	bottletest.Eventually(s.TB, "the copy has begun", func() bool {
		found, _ := filepath.Glob(filepath.Join(s.Cwd, ".claude-bottle-*/tree/endless"))
		return len(found) == 1
	})
	return command, stderr
}

// stopped stops all of the bottle in the middle of a copy.
func stopped(t *testing.T, s *shell) {
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	container, err := s.Daemon.Client().LoadContainer(ctx, s.name)
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(s.Cwd, "endless")
	command, stderr := s.endless(home, "--stall", "4s")
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	err = command.Wait()
	if resumeErr := task.Resume(ctx); resumeErr != nil {
		t.Fatal(resumeErr)
	}
	if err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("it ends with %v", command.ProcessState)
	}
	bottletest.Contains(t, stderr.String(), "has done nothing for 4s")
	if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it leaves %v", err)
	}
	s.noStage(s.Cwd)
	// So does a signal.
	command, _ = s.endless(home)
	_ = command.Process.Signal(syscall.SIGINT)
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 130 {
		t.Errorf("after a signal the exit code is %d", code)
	}
	s.noStage(s.Cwd)
}

// kept copies from what is left of the bottle, and to it.
func kept(t *testing.T, s *shell) {
	s.does("mkdir -p /home/claude/notes; echo note > /home/claude/notes/n; ln -s /etc out; ln -s ../.. up")
	// The bottle goes in the middle of a copy.
	home := filepath.Join(s.Cwd, "from-kept")
	command, stderr := s.endless(home)
	s.end()
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("T17: it ends with %v: %s", command.ProcessState, stderr)
	}
	s.noStage(s.Cwd)
	state := only(t, s.Root, s.name)
	handle := s.name + "@" + filepath.Base(state)[len(s.name)+1:]
	s.cp(0, handle+":nasty", home)
	if got, want := described(t, home), described(t, filepath.Join(s.Cwd, "nasty")); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
	s.cp(0, s.name+":/home/claude/notes/n", filepath.Join(s.Cwd, "note")) // the one that had the name
	for path, want := range map[string]string{"/etc/hostname": "went with its sandbox", "out/passwd": "escapes", "up/up": "escapes", "/home/claude/.ssh/x": "went with the sandbox"} {
		bottletest.Contains(t, s.cp(1, handle+":"+path, home+"/none").Stderr, want)
		if path != "/etc/hostname" {
			s.cp(1, filepath.Join(s.Cwd, "note"), handle+":"+path)
		}
	}
	s.cp(0, filepath.Join(s.Cwd, "nasty/."), handle+":put/")
	if got, want := described(t, filepath.Join(state, "workspace/put")), described(t, filepath.Join(s.Cwd, "nasty")); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
	var root, put syscall.Stat_t
	err := errors.Join(syscall.Stat(filepath.Join(state, "workspace"), &root), syscall.Stat(filepath.Join(state, "workspace/put/plain"), &put))
	if err != nil || root.Uid == 0 || put.Uid != root.Uid || put.Gid != root.Gid {
		t.Errorf("the owner is %d, the bottle is %d, %v", put.Uid, root.Uid, err)
	}
	s.noStage(filepath.Join(state, "workspace"))
	if _, err := os.Lstat("/etc/note"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("on the host: %v", err)
	}
}
