package integration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// declares writes a file with a Bottle of that name, and returns its path. More are lines
// of its spec.
func declares(u *bottletest.User, name, runtime string, more ...string) string {
	u.Write("home/"+name+".yaml", fmt.Sprintf("apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\nmetadata:\n  name: %s\n  labels: {team: web}\n  annotations: {why: \"true\"}\nspec:\n  agent: tester\n  runtimeClassName: %s\n  %s\n",
		name, runtime, strings.Join(more, "\n  ")))
	return filepath.Join(u.Home, name+".yaml")
}

// got is a Bottle as get prints it.
func got(t *testing.T, u *bottletest.User, name string) v1alpha1.Bottle {
	t.Helper()
	var bottle v1alpha1.Bottle
	if err := json.Unmarshal([]byte(u.Run("get", name, "-o", "json").Want(t, 0).Stdout), &bottle); err != nil {
		t.Fatal(err)
	}
	return bottle
}

// isTrue says whether a condition of a Bottle is true.
func isTrue(bottle v1alpha1.Bottle, condition string) bool {
	for _, each := range bottle.Status.Conditions {
		if each.Type == condition {
			return each.Status == metav1.ConditionTrue
		}
	}
	return false
}

// TestADeclaredBottleIsStartedOnceAndChangedWhereItMay: created, unchanged, configured,
// refused; and what get prints can be applied.
func TestADeclaredBottleIsStartedOnceAndChangedWhereItMay(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, echoes)
		path := declares(u, "lasting", runtime, "activeDeadlineSeconds: 3600")
		if differs := u.Run("diff", "-f", path).Want(t, 1); !strings.Contains(differs.Stdout, "+  agent: tester") {
			t.Errorf("what would be started is shown as %s", differs.Stdout)
		}
		tried := u.Run("apply", "-f", path, "--dry-run").Want(t, 0)
		bottletest.Contains(t, tried.Stderr, "ends after 1h", "team=web")
		if tried.Stdout != "bottle.claude-bottle.dev/lasting created (dry run)\n" || len(list(t, u)) != 0 {
			t.Errorf("a try printed %q", tried.Stdout)
		}
		u.Run("apply", "-f", path).Want(t, 1) // nobody said yes
		created := u.Run("apply", "-f", path, "--yes").Want(t, 0)
		if created.Stdout != "bottle.claude-bottle.dev/lasting created\n" {
			t.Errorf("it printed %q", created.Stdout)
		}
		bottletest.Contains(t, created.Stderr, "started a controller")
		bottle := got(t, u, "lasting")
		if bottle.Status.Phase != "Running" || !isTrue(bottle, v1alpha1.ConditionReady) || bottle.Labels["team"] != "web" || bottle.Generation != 1 || bottle.Status.Runtime != runtime {
			t.Errorf("it is %+v", bottle)
		}
		bottletest.Contains(t, u.Run("get").Want(t, 0).Stdout, "NAME      READY   STATUS    RESTARTS   AGE\nlasting   True    Running   0")

		if again := u.Run("apply", "-f", path, "--yes").Want(t, 0); again.Stdout != "bottle.claude-bottle.dev/lasting unchanged\n" {
			t.Errorf("it printed %q", again.Stdout)
		}
		u.Run("diff", "-f", path).Want(t, 0)
		printed := u.Run("get", "lasting", "-o", "yaml").Want(t, 0).Stdout
		command := u.Command("apply", "-f", "-", "--yes")
		command.Stdin = strings.NewReader(printed)
		if again := u.RunCommand(command).Want(t, 0); again.Stdout != "bottle.claude-bottle.dev/lasting unchanged\n" {
			t.Errorf("what get printed is %q: %s", again.Stdout, printed)
		}

		path = declares(u, "lasting", runtime, "activeDeadlineSeconds: 3600", "ttlSecondsAfterFinished: 86400")
		if changed := u.Run("apply", "-f", path, "--yes").Want(t, 0); changed.Stdout != "bottle.claude-bottle.dev/lasting configured\n" {
			t.Errorf("it printed %q", changed.Stdout)
		}
		if bottle := got(t, u, "lasting"); bottle.Generation != 2 || *bottle.Spec.TTLSecondsAfterFinished != 86400 {
			t.Errorf("it is %+v", bottle)
		}
		bottletest.Contains(t, u.Run("describe", "lasting").Want(t, 0).Stdout, "Configured", "generation 2 is declared")
		path = declares(u, "lasting", runtime, "prompt: else", "activeDeadlineSeconds: 1800", "ttlSecondsAfterFinished: 86400")
		bottletest.Contains(t, u.Run("apply", "-f", path, "--yes").Want(t, 1).Stderr, "spec.activeDeadlineSeconds, spec.prompt can't change", "claude-bottle delete lasting")
		differs := u.Run("diff", "-f", path).Want(t, 1)
		bottletest.Contains(t, differs.Stdout, "-  activeDeadlineSeconds: 3600", "+  activeDeadlineSeconds: 1800", "+  prompt: else")

		if deleted := u.Run("delete", "-l", "team=web").Want(t, 0); deleted.Stdout != "bottle.claude-bottle.dev \"lasting\" deleted\n" {
			t.Errorf("it printed %q", deleted.Stdout)
		}
		if left := list(t, u); len(left) != 0 {
			t.Errorf("there is %+v", left)
		}
		u.Run("delete", "lasting").Want(t, 1)
		u.Run("delete", "lasting", "--ignore-not-found").Want(t, 0)
		u.Run("get", "lasting").Want(t, 1)
	})
}

// TestAHeadlessBottleRunsToFinished with claude's own code, keeps what is unsaved, and
// isn't run again by another apply.
func TestAHeadlessBottleRunsToFinished(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, `until test -e /workspace/go; do sleep 0.1; done; test "$(cat /workspace/there)" = before && exit 7`)
		u.Write("home/source/there", "before\n")
		path := declares(u, "task", runtime, `prompt: "-p is no flag here"`, "workspace: {path: source}", "resources: {limits: {memory: 512Mi, cpu: 500m}}")
		watching := u.Command("get", "-w")
		var rows bottletest.Page
		watching.Stdout = &rows
		if err := watching.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = watching.Process.Kill(); _ = watching.Wait() }()
		bottletest.Contains(t, u.Run("apply", "-f", path, "--yes").Want(t, 0).Stderr, "-p -- -p is no flag here", "512")
		bottletest.Eventually(t, "the watch has seen it run", func() bool { return strings.Contains(rows.String(), "Running") })
		u.Run("exec", "task", "--", "touch", "/workspace/go").Want(t, 0)
		bottletest.Eventually(t, "the bottle is finished", func() bool { return isTrue(got(t, u, "task"), v1alpha1.ConditionFinished) })
		bottle := got(t, u, "task")
		if bottle.Status.Phase != "Failed" || bottle.Status.ExitCode == nil || *bottle.Status.ExitCode != 7 || bottle.Status.FinishTime == nil ||
			!strings.HasPrefix(bottle.Status.Handle, "task@") || bottle.Status.UnsavedWork == nil || bottle.Status.UnsavedWork.Files != 1 {
			t.Errorf("it is %+v", bottle.Status)
		}
		bottletest.Eventually(t, "the watch has seen it end", func() bool { return strings.Contains(rows.String(), "Error") })
		bottletest.Contains(t, u.Run("describe", "task").Want(t, 0).Stdout, "Prompt:        -p is no flag here", "Exit code:     7", "UnsavedWork", "Limit memory:  512Mi", "Error", "claude ended with code 7")
		if code := u.Run("get", "-o", "jsonpath={.items[*].status.exitCode}").Want(t, 0).Stdout; code != "7" {
			t.Errorf("by jsonpath the code is %q", code)
		}
		if again := u.Run("apply", "-f", path, "--yes").Want(t, 0); again.Stdout != "bottle.claude-bottle.dev/task unchanged\n" {
			t.Errorf("it printed %q", again.Stdout)
		}
		bottletest.Contains(t, u.Run("resume", "task", "--dry-run").Want(t, 0).Stdout, "memory 512.0 MiB", "cpus 0.5")
		bottletest.Contains(t, u.Run("delete", "-f", path).Want(t, 4).Stderr, "holds unsaved work")
		u.Run("delete", "bottle/task", "--discard").Want(t, 0)
		if left := list(t, u); len(left) != 0 {
			t.Errorf("there is %+v", left)
		}
	})
}

// TestAFinishedBottleGoesByATTLThatIsAppliedLater: also when no controller was left.
func TestAFinishedBottleGoesByATTLThatIsAppliedLater(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	u.Run("apply", "-f", declares(u, "short", "runc", "prompt: x"), "--yes", "--no-controller").Want(t, 0)
	bottletest.Eventually(t, "the bottle is finished", func() bool { return isTrue(got(t, u, "short"), v1alpha1.ConditionFinished) })
	changed := u.Run("apply", "-f", declares(u, "short", "runc", "prompt: x", "ttlSecondsAfterFinished: 0"), "--yes").Want(t, 0)
	if changed.Stdout != "bottle.claude-bottle.dev/short configured\n" {
		t.Errorf("it printed %q", changed.Stdout)
	}
	bottletest.Eventually(t, "the bottle is removed", func() bool { return len(list(t, u)) == 0 })
}

// TestI2_DeleteLeavesWorkThatRuns as it is, unless it may be lost.
func TestI2_DeleteLeavesWorkThatRuns(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo work > /workspace/work; "+echoes)
		path := declares(u, "busy", runtime)
		u.Run("apply", "-f", path, "--yes").Want(t, 0)
		s := u.OnTerminal("attach", "busy", "--read-only")
		s.Shows("ready")
		bottletest.Contains(t, u.Run("delete", "busy").Want(t, 4).Stderr, "1 changed file: work", "left as it is")
		if bottle := got(t, u, "busy"); bottle.Status.Phase != "Running" || bottle.Status.UnsavedWork == nil || bottle.Status.UnsavedWork.Files != 1 {
			t.Errorf("it is %+v", bottle.Status)
		}
		u.Run("delete", "busy", "--discard").Want(t, 0)
		s.Ends()
		if left := list(t, u); len(left) != 0 {
			t.Errorf("there is %+v", left)
		}
	})
}

// TestOneOfManyWhoDeclareANameAtOnceWins.
func TestOneOfManyWhoDeclareANameAtOnceWins(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, echoes)
	path := declares(u, "contested", "runc")
	results := make([]bottletest.Result, 5)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = u.Run("apply", "-f", path, "--yes") })
	}
	all.Wait()
	created := 0
	for _, result := range results {
		switch {
		case strings.HasSuffix(result.Stdout, " created\n") && result.Code == 0:
			created++
		case strings.HasSuffix(result.Stdout, " unchanged\n") && result.Code == 0, result.Code == 3:
		default:
			t.Errorf("one ended with %d: %s%s", result.Code, result.Stdout, result.Stderr)
		}
	}
	if created != 1 || len(list(t, u)) != 1 {
		t.Errorf("%d created it, there is %+v", created, list(t, u))
	}
	u.Run("apply", "-f", path, "--yes").Want(t, 0)
	u.Run("delete", "contested").Want(t, 0)
}

// TestABottleOfStartIsSeenAndLeftAlone: get shows it, apply doesn't take it for its own.
func TestABottleOfStartIsSeenAndLeftAlone(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, echoes)
	u.Run("start", "tester", "--yes", "--detach", "--runtime", "runc", "--label", "team=web", "--name", "started").Want(t, 0)
	bottle := got(t, u, "started")
	if bottle.Labels["team"] != "web" || bottle.Spec.Agent != "tester" || bottle.Status.Phase != "Running" {
		t.Errorf("it is %+v", bottle)
	}
	bottletest.Contains(t, u.Run("apply", "-f", declares(u, "started", "runc"), "--yes").Want(t, 3).Stderr, "no apply has declared it")
	u.Run("apply", "-f", declares(u, "lease", "runc", "lease: {durationSeconds: 60}"), "--yes").Want(t, 1)
	bottletest.Contains(t, u.Run("apply", "-f", declares(u, "typo", "runc", "promt: x"), "--yes").Want(t, 1).Stderr, "typo.yaml: document 1: spec.promt: unknown field, did you mean prompt?")
	bottletest.Contains(t, u.Run("apply", "-f", declares(u, "wide", "runc", "bottle: other"), "--yes").Want(t, 1).Stderr, "can't choose its own rights")
	bottletest.Contains(t, u.Run("apply", "started", "-f", "x").Want(t, 2).Stderr, "apply takes either NAME")
	u.Run("delete", "started").Want(t, 0)
}
