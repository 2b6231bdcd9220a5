package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// seed makes a run repeatable.
const seed = 20261124

// victims are what is killed, alone and together.
func victims() []string {
	return []string{"cli", "supervisor", "both", "shim", "containerd", "everything"}
}

func TestF1_F10_F11_KillsAtManyMoments(t *testing.T) {
	moments := 120
	if text := os.Getenv("CHAOS_MOMENTS"); text != "" {
		var err error
		if moments, err = strconv.Atoi(text); err != nil || moments < 1 {
			t.Fatalf("CHAOS_MOMENTS is %q: give a number", text)
		}
	}
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\nenv: {FAKE_CLAUDE_RUN: echo work > work.txt}\n---\n")
	random := rand.New(rand.NewPCG(seed, 1))
	work := 0
	for _, runtime := range bottletest.Runtimes() {
		began := time.Now()
		u.Start(runtime).Want(t, 0)
		whole := time.Since(began)
		for i := range moments / len(bottletest.Runtimes()) {
			victim := victims()[i%len(victims())]
			moment := time.Duration(random.Int64N(int64(whole)))
			t.Run(fmt.Sprintf("%s/%s/%d", runtime, victim, i), func(t *testing.T) { strike(t, u, runtime, victim, moment) })
		}
	}
	files, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "workspace", "work.txt"))
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && string(data) == "work\n" {
			work++
		}
	}
	t.Logf("%d moments; the work of %d bottles that had got so far is kept", moments, work)
}

// strike starts a bottle, kills the victim after a while, cleans up once, and
// wants an empty ledger and a name that can be used.
func strike(t *testing.T, u *bottletest.User, runtime, victim string, after time.Duration) {
	command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime)
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment is what is tested
	kill := func(pids ...int) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	all := victim == "everything"
	if victim == "cli" || victim == "both" || all {
		kill(command.Process.Pid)
	}
	if victim == "supervisor" || victim == "both" || all {
		kill(u.Supervisors()...)
	}
	if victim == "shim" || all {
		kill(shims(u)...)
	}
	if victim == "containerd" || all {
		if err := u.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := u.Daemon.Up(); err != nil {
			t.Fatal(err)
		}
	}
	_ = command.Wait()
	bottletest.Eventually(t, "the supervisors end", func() bool { return len(u.Supervisors()) == 0 })
	if r := u.Run("cleanup", "--yes"); r.Code != 0 {
		t.Errorf("%s killed after %s: cleanup ends with %d: %s", victim, after, r.Code, r.Stderr)
	}
	// The daemon notices the end of a shim when it gets to it, and then removes
	// its bundle.
	var left string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left = u.Left(); left == "" || time.Now().After(deadline) {
			break
		}
	}
	if left != "" {
		t.Errorf("%s killed after %s: one cleanup leaves\n%s\nstart said: %s", victim, after, left, said.String())
	}
}

// shims are those of this test's daemon.
func shims(u *bottletest.User) []int {
	var pids []int
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		if err != nil || !bytes.Contains(line, []byte("containerd-shim-")) || !bytes.Contains(line, []byte(u.Daemon.Address)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(directory)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
