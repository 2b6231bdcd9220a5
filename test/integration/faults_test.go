package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// works is a claude that has made something, and goes on.
const works = `echo work > /workspace/work; echo ready; while ! test -e /workspace/stop; do sleep 0.01; done; exit 7`

// working starts a detached bottle whose claude has made something.
func working(t *testing.T, u *bottletest.User, runtime string, flags ...string) {
	t.Helper()
	does(u, works)
	u.Run(slices.Concat([]string{"start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime}, flags, []string{"--", "-p", "work"})...).Want(t, 0)
	bottletest.Eventually(t, "claude has made something", func() bool {
		return u.Run("exec", "tester", "--", "test", "-e", "/workspace/work").Code == 0
	})
}

// takenDown checks that nothing is left of the bottle but its work, and that its name is
// free. One cleanup is what it may take.
func takenDown(t *testing.T, u *bottletest.User, runtime string) {
	t.Helper()
	u.Run("cleanup", "--yes").Want(t, 0)
	idle(t, u)
	if bottles := list(t, u); len(bottles) != 1 || bottles[0].Phase != string(backend.PhaseKept) {
		t.Fatalf("there is %+v", bottles)
	}
	if work := u.Work("work"); work != "work\n" {
		t.Errorf("its work is %q", work)
	}
	u.Run("rm", "tester", "--discard").Want(t, 0)
	does(u, "true")
	u.Start(runtime, "--quiet").Want(t, 0)
	idle(t, u)
}

func inNamespace(t *testing.T) context.Context {
	return namespaces.WithNamespace(t.Context(), bottletest.Namespace)
}

// TestF12_F15_F34_WhatIsDoneToABottleBehindItsBack is met by list, which never fails, and
// by one cleanup: the work is there, nothing else is, and the name is free.
func TestF12_F15_F34_WhatIsDoneToABottleBehindItsBack(t *testing.T) {
	for name, do := range map[string]func(*testing.T, *bottletest.User){
		"F12 the sandbox is killed": func(t *testing.T, u *bottletest.User) {
			_, inside := ofBottle(u)
			for _, pid := range inside {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		},
		"F34 ctr tasks kill": func(t *testing.T, u *bottletest.User) {
			if _, err := u.Daemon.Client().TaskService().Kill(inNamespace(t), &tasks.KillRequest{ContainerID: "tester", Signal: uint32(syscall.SIGKILL)}); err != nil {
				t.Fatal(err)
			}
		},
		"F34 ctr containers rm": func(t *testing.T, u *bottletest.User) {
			if err := u.Daemon.Client().ContainerService().Delete(inNamespace(t), "tester"); err != nil {
				t.Fatal(err)
			}
			if now := named(t, list(t, u), "tester"); !strings.Contains(now.Message, "cleanup") {
				t.Errorf("it is %+v", now)
			}
			bottletest.Contains(t, u.Run("start", "tester", "--yes").Want(t, 3).Stderr, "cleanup", "--name")
		},
		"F34 rm -rf of the run directory": func(t *testing.T, u *bottletest.User) { empty(t, u.RunRoot) },
		"F15 a reboot":                    reboots,
	} {
		t.Run(name, func(t *testing.T) {
			eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
				working(t, u, runtime, "--no-controller")
				do(t, u)
				list(t, u)
				takenDown(t, u, runtime)
			})
		})
	}
}

// reboots ends all that runs, and empties what is in memory.
func reboots(t *testing.T, u *bottletest.User) {
	t.Helper()
	shims, inside := ofBottle(u)
	if err := u.Daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pids := range [][]int{u.Controllers(), u.Supervisors(), shims, inside} {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	bottletest.Eventually(t, "all have ended", func() bool {
		return len(u.Daemon.Servants(u.RunRoot))+len(u.Supervisors())+len(u.Controllers()) == 0
	})
	empty(t, u.RunRoot)
	empty(t, u.Daemon.State)
	if err := u.Daemon.Up(); err != nil {
		t.Fatal(err)
	}
}

// TestF15_ARebootEndsABottleWhateverWasDeclared: what it needs again lay in memory alone.
// The controller that the machine starts takes it down to its work, and a resume brings its
// secrets and goes on.
func TestF15_ARebootEndsABottleWhateverWasDeclared(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		word, _ := veiledWord("secret-")
		does(u, `echo $WISH >> /workspace/work; while :; do sleep 0.1; done`)
		manifest := filepath.Join(u.Home, ".claude-bottle/bottles/default.md")
		u.Write("home/.claude-bottle/bottles/default.md", strings.Replace(contentOf(t, manifest), "env:\n", "env:\n  WISH: \"${WISH}\"\n", 1))
		with := func(args ...string) bottletest.Result {
			command := u.Command(args...)
			command.Env = append(command.Env, "WISH="+word)
			return u.RunCommand(command)
		}
		works := func(times int) {
			t.Helper()
			bottletest.Eventually(t, "claude has made something", func() bool {
				files := workspaces(t, u, "tester", "work")
				return len(files) == 1 && strings.Count(contentOf(t, files[0]), word) == times
			})
		}
		with("start", "tester", "--yes", "--quiet", "--detach", "--restart", "always", "--runtime", runtime, "--", "-p", "x").Want(t, 0)
		works(1)
		reboots(t, u)
		watches := controls(t, u, "watch over bottles")
		bottletest.Eventually(t, "its work is kept", func() bool {
			now := list(t, u)
			return len(now) == 1 && now[0].Phase == string(backend.PhaseKept)
		})
		if kept := list(t, u)[0]; kept.Outcome == nil || kept.Outcome.Reason != backend.ReasonLost || kept.Declaration == nil || strings.Join(kept.Outcome.Missing, " ") != "ANTHROPIC_API_KEY WISH" {
			t.Errorf("it is %+v", kept)
		}
		u.Run("resume", "tester", "--yes", "--detach").Want(t, 125) // its secrets are nowhere
		with("resume", "tester", "--yes", "--quiet", "--detach").Want(t, 0)
		works(2)
		u.Run("stop", "tester").Want(t, 0)
		watches.ends(t)
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF34_ABottleWhoseRecordIsRemovedIsTakenDownByTheController: the wish for it is gone.
func TestF34_ABottleWhoseRecordIsRemovedIsTakenDownByTheController(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		working(t, u, runtime)
		if err := u.Daemon.Client().ContainerService().Delete(inNamespace(t), "tester"); err != nil {
			t.Fatal(err)
		}
		if outcome := ended(t, u); outcome.Reason != backend.ReasonStopped {
			t.Errorf("the outcome is %+v", outcome)
		}
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// empty removes all that is in a directory, mounts included.
func empty(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // what was mounted last goes first
		if path := strings.Fields(lines[i])[1]; strings.HasPrefix(path, dir+"/") {
			_ = syscall.Unmount(path, syscall.MNT_DETACH)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestF29_ABottleOutlivesItsImage, and the garbage collection that follows.
func TestF29_ABottleOutlivesItsImage(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		working(t, u, runtime)
		ctx := inNamespace(t)
		t.Cleanup(func() { u.Daemon.ImportTestImage(t, bottletest.Namespace) })
		if err := u.Daemon.Client().ImageService().Delete(ctx, containerdtest.TestImage, images.SynchronousDelete()); err != nil {
			t.Fatal(err)
		}
		collected, err := u.Daemon.Client().LeasesService().Create(ctx, leases.WithRandomID())
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Daemon.Client().LeasesService().Delete(ctx, collected, leases.SynchronousDelete); err != nil {
			t.Fatal(err)
		}
		u.Run("exec", "tester", "--", "ls", "/bin/busybox").Want(t, 0)
		u.Run("stop", "tester").Want(t, 0)
		if outcome := ended(t, u); outcome.Reason != backend.ReasonStopped {
			t.Errorf("the outcome is %+v", outcome)
		}
		u.Run("rm", "tester", "--discard").Want(t, 0)
	})
}

// TestF14_ABottleIsTakenDownWithoutItsRuntime: the program was moved while it ran.
func TestF14_ABottleIsTakenDownWithoutItsRuntime(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		prefix := t.TempDir()
		for _, dir := range []string{"bin", "libexec"} {
			if err := os.Mkdir(filepath.Join(prefix, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		bin := filepath.Dir(u.Binary)
		for from, to := range map[string]string{
			u.Binary: "bin/claude-bottle", filepath.Join(bin, "bottle-init"): "bin/bottle-init",
			u.Daemon.RuntimePath("runsc"): "libexec/runsc", u.Daemon.RuntimePath("runc"): "libexec/runc",
		} {
			copyProgram(t, from, filepath.Join(prefix, to))
		}
		u.Binary = filepath.Join(prefix, "bin", "claude-bottle")
		working(t, u, runtime)
		for _, name := range []string{"runsc", "runc"} {
			if err := os.Remove(filepath.Join(prefix, "libexec", name)); err != nil {
				t.Fatal(err)
			}
		}
		u.Run("list").Want(t, 0)
		u.Run("stop", "tester").Want(t, 0)
		bottletest.Eventually(t, "its supervisor and its controller end", func() bool { return len(u.Supervisors()) == 0 && len(u.Controllers()) == 0 })
		u.Binary = filepath.Join(bin, "claude-bottle")
		takenDown(t, u, runtime)
	})
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// TestF9_ABottleOutlivesUpgradesOfContainerd: from the oldest to the newest under a claude
// that says all numbers.
func TestF9_ABottleOutlivesUpgradesOfContainerd(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			daemon := containerdtest.Start(t, containerdtest.Options{Version: "1.6"})
			daemon.ImportTestImage(t, bottletest.Namespace)
			u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
			does(u, counts)
			u.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime, "--", "-p", "count").Want(t, 0)
			for _, version := range []string{"1.7", "2.4"} {
				if err := daemon.Become(version); err != nil {
					t.Fatal(err)
				}
				if now := named(t, list(t, u), "tester"); now.Phase != string(backend.PhaseRunning) || now.Message != "" {
					t.Errorf("on containerd %s it is %+v", version, now)
				}
				u.Run("exec", "tester", "--", "true").Want(t, 0)
				bottletest.Contains(t, u.Run("cleanup", "--yes").Want(t, 0).Stdout, "")
			}
			u.Run("exec", "tester", "--", "touch", "/workspace/stop").Want(t, 0)
			if outcome := ended(t, u); outcome.ExitCode != 7 {
				t.Errorf("the outcome is %+v", outcome)
			}
			lines := strings.Fields(u.Run("logs", "tester").Want(t, 0).Stdout)
			for i, line := range lines {
				if line != strconv.Itoa(i+1) {
					t.Fatalf("line %d of %d is %q", i+1, len(lines), line)
				}
			}
			u.Run("rm", "tester", "--discard").Want(t, 0)
		})
	}
}
