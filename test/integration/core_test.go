package integration

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestT28_WhoHoldsSecretsLeavesNoCore aborts each of the two processes that hold
// secrets, where every other program would leave its memory behind.
func TestT28_WhoHoldsSecretsLeavesNoCore(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		for _, who := range []string{"cli", "supervisor"} {
			t.Run(runtime+"/"+who, func(t *testing.T) { abort(t, newUser(t, "2.4"), runtime, who) })
		}
	}
}

func abort(t *testing.T, u *bottletest.User, runtime, who string) {
	key := "sk-ant-canary-" + rand.Text()
	does(u, "echo ready; cat")
	plain := u.Command("--log-level", "trace", "--log-file", filepath.Join(u.Cwd, "log"), "start", "tester", "--yes", "--quiet", "--runtime", runtime)
	command := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, plain.Args...)...) //nolint:noctx // ended by what is tested
	command.Env, command.Dir = append(plain.Env, "GOTRACEBACK=crash", "ANTHROPIC_API_KEY="+key), plain.Dir
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = input.Close() }()
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill() }()
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the bottle says %q, %v", line, err)
	}
	supervisor := u.Supervisor(t)
	victim := command.Process.Pid
	if who == "supervisor" {
		victim = supervisor
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", victim))
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("the limits of the %s are\n%s%v", who, limits, err)
	}
	directory, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", victim))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := filepath.Glob(filepath.Join(directory, "core*"))
	if err := syscall.Kill(victim, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	_ = input.Close() // the CLI may outlive its supervisor, but not its input
	_ = command.Wait()
	status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
	if who == "cli" && (!ok || !status.Signaled() || status.CoreDump()) {
		t.Errorf("the CLI ended with %v", command.ProcessState)
	}
	bottletest.Eventually(t, "the supervisor ends", func() bool { return len(u.Supervisors()) == 0 })
	u.Run("cleanup", "--yes").Want(t, 0)
	after, _ := filepath.Glob(filepath.Join(directory, "core*"))
	if len(after) > len(before) {
		t.Errorf("there are %s", strings.Join(after, ", "))
	}
	u.Hunt(t, map[string]string{"the key": key}, nil)
}
