package chaostest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// What claude does: work, and go on with it until it is told to stop.
const (
	brief = `echo work > work`
	long  = `echo work > work; mkdir out; seq 20000 > out/large; echo ready; while ! test -e stop; do sleep 0.05; done`
)

// story is what a user does while something dies.
type story struct {
	name string
	// prepare makes what there is before, undisturbed.
	prepare func(r *run, runtime string)
	// claude is what it does in the bottle that the story starts; args is the command,
	// which has a runtime when it launches.
	claude   string
	args     []string
	launches bool
	// lasts is about how long it takes, in starts. What is endless is ended after the
	// strike.
	lasts   float64
	endless bool
	// steps are those that the command itself begins.
	steps []string
	// check looks at what a command that has succeeded has done.
	check func(r *run, p point)
}

// steps up are those of a launch, steps down those of a cleanup.
var (
	stepsUp   = []string{"start supervisor", "prepare snapshot", "create task", "start task", "provision", "open neck", "prove fence"}
	stepsDown = []string{"mark record", "remove task", "remove leftovers", "sync work", "remove snapshot", "remove record", "remove run directory"}
)

func stories() []story {
	return []story{
		{name: "start", claude: brief, args: []string{"start", "tester", "--yes", "--quiet"}, launches: true, lasts: 1.2, steps: stepsUp},
		{name: "start --detach", claude: long, args: []string{"start", "tester", "--yes", "--quiet", "--detach"}, launches: true, lasts: 1, steps: stepsUp},
		{name: "attach", prepare: detached, args: []string{"attach", "tester"}, lasts: 0.5, endless: true},
		{name: "exec", prepare: detached, args: []string{"exec", "tester", "--", "sleep", "0.2"}, lasts: 0.5},
		{name: "copy in", prepare: tree, args: []string{"cp", "tree", "tester:/workspace/"}, lasts: 0.5, check: copiedIn},
		{name: "copy out", prepare: detached, args: []string{"cp", "tester:/workspace/out/large", "large"}, lasts: 0.3, check: copiedOut},
		{name: "stop", prepare: detached, args: []string{"stop", "tester"}, lasts: 0.5},
		{name: "cleanup", prepare: dead, args: []string{"cleanup", "--yes"}, lasts: 0.5, steps: stepsDown},
	}
}

// detached starts a bottle that lives on, and waits for its claude.
func detached(r *run, runtime string) {
	r.Helper()
	r.does(long)
	r.RunCommand(r.command("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime)).Want(r, 0)
	bottletest.Eventually(r, "claude is at work", func() bool { return len(r.work()) == 1 })
	bottletest.Eventually(r, "claude is ready", func() bool { return strings.Contains(r.Run("logs", "tester").Stdout, "ready") })
}

// tree is detached with something to copy.
func tree(r *run, runtime string) {
	r.Helper()
	for i := range 40 {
		r.Write(fmt.Sprintf("project/tree/%d", i), content(i))
	}
	detached(r, runtime)
}

func content(i int) string { return strings.Repeat(fmt.Sprintf("line of %d\n", i), 5000) }

// copiedIn wants a copy that was said to have succeeded to be whole. The bottle may be
// kept by now.
func copiedIn(r *run, p point) {
	r.Helper()
	for i := range 40 {
		files, _ := filepath.Glob(filepath.Join(r.Root, "*", "bottles", "*", "workspace", "tree", fmt.Sprint(i)))
		if len(files) != 1 {
			r.Errorf("I2: %s: file %d is at %v", p, i, files)
			return
		}
		if data, err := os.ReadFile(files[0]); err != nil || string(data) != content(i) {
			r.Errorf("I2: %s: of file %d there are %d bytes, %v", p, i, len(data), err)
		}
	}
}

func copiedOut(r *run, p point) {
	r.Helper()
	data, err := os.ReadFile(filepath.Join(r.Cwd, "large"))
	if want := 20000; err != nil || bytes.Count(data, []byte("\n")) != want {
		r.Errorf("I2: %s: of %d lines came %d, %v", p, want, bytes.Count(data, []byte("\n")), err)
	}
	_ = os.Remove(filepath.Join(r.Cwd, "large"))
}

// dead starts a bottle and kills all that holds it.
func dead(r *run, runtime string) {
	r.Helper()
	r.does(long)
	command := r.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime)
	if err := command.Start(); err != nil {
		r.Fatal(err)
	}
	bottletest.Eventually(r, "claude is at work", func() bool { return len(r.work()) == 1 })
	for _, pid := range append(r.Supervisors(), command.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = command.Wait()
	bottletest.Eventually(r, "its supervisor ends", func() bool { return len(r.Supervisors()) == 0 })
}

// victims are what is struck: killed, or stopped for a while.
func victims() []string {
	return []string{
		"command", "supervisor", "command and supervisor", "controller", "shim", "sandbox", "containerd", "everything",
		"stopped command", "stopped supervisor", "stopped controller", "stopped shim", "stopped sandbox", "stopped containerd",
	}
}

// strike strikes what is there of the victim: often enough it isn't there yet, or any more.
func (r *run) strike(p point, command *exec.Cmd, ended <-chan struct{}) {
	r.Helper()
	shims, sandbox := r.servants()
	own := []int{command.Process.Pid}
	select {
	case <-ended:
		own = nil // the number may be another's by now
	default:
	}
	var pids []int
	for what, those := range map[string][]int{"command": own, "supervisor": r.Supervisors(), "controller": r.Controllers(), "shim": shims, "sandbox": sandbox} {
		if strings.Contains(p.victim, what) || p.victim == "everything" {
			pids = append(pids, those...)
		}
	}
	if strings.HasPrefix(p.victim, "stopped ") {
		// A process without arguments is one in which gVisor runs what the agent has
		// started: the sentry traces it, and takes a stop that it did not send amiss.
		pids = slices.DeleteFunc(pids, func(pid int) bool {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err != nil || len(line) == 0
		})
		if p.victim == "stopped containerd" {
			pids = append(pids, r.Daemon.Pid())
		}
		signal(pids, syscall.SIGSTOP)
		time.Sleep(p.hang) // how long it stands still is what is tested
		signal(pids, syscall.SIGCONT)
		return
	}
	signal(pids, syscall.SIGKILL)
	if p.victim == "containerd" || p.victim == "everything" {
		if err := r.Daemon.Kill(); err != nil {
			r.Fatal(err)
		}
		if err := r.Daemon.Up(); err != nil {
			r.Fatal(err)
		}
	}
}

func signal(pids []int, signal syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // it may be gone
	}
}

// servants are the shims of the daemon, and what runs below them.
func (r *run) servants() (shims, rest []int) {
	for _, pid := range r.Daemon.Servants(r.RunRoot) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		if program, _, _ := bytes.Cut(line, []byte{0}); bytes.Contains(program, []byte("shim")) {
			shims = append(shims, pid)
		} else {
			rest = append(rest, pid)
		}
	}
	return shims, rest
}
