package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/conformance"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// TestContainerdConforms: the suite that any backend passes, with each of the runtimes.
func TestContainerdConforms(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		conformance.Run(t, conformance.Harness{
			Open:    func(t testing.TB) backend.Backend { return u.Backend(t) },
			Image:   containerdtest.TestImage,
			Runtime: backend.RuntimePolicy(runtime),
			Dead: func(t testing.TB, spec backend.Spec) {
				dies(u, runtime, spec.Name, spec.Manifest.Bottle.Env["FAKE_CLAUDE_RUN"])
			},
			Left: func(testing.TB) string { return u.Left() },
		})
		states, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*"))
		if err != nil || len(states) == 0 {
			t.Errorf("nothing was kept at all: %v, %v", states, err)
		}
	})
}

// dies starts a bottle, and kills its client and its supervisor once its claude is ready.
func dies(u *bottletest.User, runtime, name, command string) {
	does(u, command)
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime, "--name", name)
	s.Shows("ready")
	bottletest.Abandon(s.Process.Process.Pid, supervisorsOf(u, name))
	s.Ends()
	bottletest.Eventually(u, "its supervisor ends", func() bool { return len(supervisorsOf(u, name)) == 0 })
}

// supervisorsOf are those of the bottles of that name.
func supervisorsOf(u *bottletest.User, name string) []int {
	return slices.DeleteFunc(u.Supervisors(), func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err != nil || !strings.Contains(string(line), "\x00"+name+"-")
	})
}
