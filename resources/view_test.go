package resources_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
)

// now is when the goldens were looked at.
func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

// several is a host with bottles in every state.
func several(t *testing.T) []backend.Status {
	t.Helper()
	declared := one(t, "prompt: fix the tests", "args: [--max-turns, '3']", "workspace: {path: /src}", "restartPolicy: OnFailure", "activeDeadlineSeconds: 3600",
		"ttlSecondsAfterFinished: 86400", "resources: {limits: {memory: 2Gi, cpu: 1500m}}")
	declared.Labels, declared.Annotations = map[string]string{"team": "web", "app": "shop"}, map[string]string{"why": "flaky\x1b[2J"}
	declaration, err := resources.Declaration(declared)
	if err != nil {
		t.Fatal(err)
	}
	ttl := int64(60)
	outcome := func(code int, reason string, since time.Duration) *backend.Outcome {
		return &backend.Outcome{Started: ago(since + time.Hour), Finished: ago(since), ExitCode: code, Reason: reason, Restarts: 2}
	}
	return []backend.Status{
		{Name: "lasting", ID: "lasting-aaaaa", Agent: "claude", Bottle: "default", Phase: backend.PhaseRunning, Runtime: "gvisor", Image: "image:1@sha256:00", Created: ago(90 * time.Minute), Detached: true, Restarts: 1,
			Declaration: &backend.Declaration{Labels: map[string]string{"by": "start"}, Life: backend.Life{Restart: backend.RestartAlways, IdleTimeoutSeconds: 600, TTLSecondsAfterFinished: &ttl}}},
		{Name: "foreground", ID: "foreground-aaaaa", Agent: "claude", Phase: backend.PhaseStarting, Created: ago(2 * time.Second)},
		{Name: "lost", ID: "lost-aaaaa", Agent: "claude", Phase: backend.PhaseDead, Created: ago(50 * time.Hour), Message: "nobody holds it: claude-bottle cleanup removes it"},
		{Name: "helper", ID: "helper-aaaaa", Phase: backend.PhaseRunning, Helps: "task@bbbbb", Created: ago(time.Second)},
		{Name: "task@aaaaa", ID: "task-aaaaa", Agent: "claude", Phase: backend.PhaseKept, Created: ago(72 * time.Hour), Detached: true, Outcome: outcome(0, backend.ReasonCompleted, 72*time.Hour), Unsaved: &backend.Unsaved{}},
		{Name: "task@bbbbb", ID: "task-bbbbb", Agent: "claude", Phase: backend.PhaseKept, Runtime: "runc", Image: "image:1@sha256:00", Created: ago(5 * time.Minute), Detached: true, Outcome: outcome(7, backend.ReasonError, 5*time.Minute), Declaration: declaration,
			Unsaved: &backend.Unsaved{Changed: 2, Paths: []string{"a", "b\n"}, Refs: []string{"refs/heads/main"}, Commits: 3}},
		{Name: "foreground@ccccc", ID: "foreground-ccccc", Agent: "claude", Phase: backend.PhaseKept, Created: ago(200 * time.Hour)},
	}
}

func find(t *testing.T, bottles []*v1alpha1.Bottle, handle string) *v1alpha1.Bottle {
	t.Helper()
	for _, bottle := range bottles {
		if bottle.Status.Handle == handle {
			return bottle
		}
	}
	t.Fatalf("there is no %s", handle)
	return nil
}

func TestATableShowsEveryStateInItsWords(t *testing.T) {
	var text bytes.Buffer
	for _, wide := range []bool{false, true} {
		w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
		_, _ = fmt.Fprintln(w, strings.Join(resources.Header(wide), "\t"))
		for _, bottle := range resources.Views(several(t)) {
			_, _ = fmt.Fprintln(w, strings.Join(resources.Row(bottle, wide, now()), "\t"))
		}
		_ = w.Flush()
	}
	golden(t, filepath.Join("testdata", "get.txt"), text.Bytes())
}

func TestADescriptionSaysAllAndCantPaint(t *testing.T) {
	bottles := resources.Views(several(t))
	task := find(t, bottles, "task@bbbbb")
	task.Status.Egress = &v1alpha1.Egress{Allowed: 5, Denied: 1}
	events := []backend.Event{
		{Time: ago(65 * time.Minute), Type: backend.EventNormal, Reason: "Started", Message: "claude was started"},
		{Time: ago(5 * time.Minute), Type: backend.EventWarning, Reason: "Error", Message: "claude ended with code 7\x1b[2J"},
	}
	var text bytes.Buffer
	for _, err := range []error{
		resources.Describe(&text, task, events, now()),
		resources.Describe(&text, find(t, bottles, "lasting"), nil, now()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsRune(text.String(), 0x1b) {
		t.Error("an escape sequence is printed")
	}
	golden(t, filepath.Join("testdata", "describe.txt"), text.Bytes())
}

func TestANameStandsForTheLastWhoHadIt(t *testing.T) {
	bottles := resources.Views(several(t))
	for handle, name := range map[string]string{"task@bbbbb": "task", "task@aaaaa": "task@aaaaa", "foreground": "foreground", "foreground@ccccc": "foreground@ccccc"} {
		if got := find(t, bottles, handle).Name; got != name {
			t.Errorf("%s is called %s, wanted is %s", handle, got, name)
		}
	}
	holders := resources.Holders(several(t))
	if len(holders) != 4 || holders["task"].ID != "task-bbbbb" || holders["foreground"].ID != "foreground-aaaaa" {
		t.Errorf("the names stand for %+v", holders)
	}
}

func TestConditionsSayWhatScriptsWaitFor(t *testing.T) {
	bottles := resources.Views(several(t))
	for handle, want := range map[string]string{
		"lasting":          "Ready=True/Running Finished=False/Running WorkSaved=Unknown/NotExamined Running",
		"foreground":       "Ready=False/Starting Finished=False/Starting WorkSaved=Unknown/NotExamined Starting",
		"lost":             "Ready=False/Dead Finished=False/Dead WorkSaved=Unknown/NotExamined Dead",
		"task@aaaaa":       "Ready=False/Completed Finished=True/Completed WorkSaved=True/NothingUnsaved Succeeded",
		"task@bbbbb":       "Ready=False/Error Finished=True/Error WorkSaved=False/UnsavedWork Failed",
		"foreground@ccccc": "Ready=False/Kept Finished=True/Kept WorkSaved=Unknown/NotExamined Kept",
	} {
		bottle := find(t, bottles, handle)
		var words []string
		for _, condition := range bottle.Status.Conditions {
			words = append(words, fmt.Sprintf("%s=%s/%s", condition.Type, condition.Status, condition.Reason))
		}
		if got := strings.Join(append(words, bottle.Status.Phase), " "); got != want {
			t.Errorf("%s is %s, wanted is %s", handle, got, want)
		}
	}
	missing := resources.Views([]backend.Status{{Name: "lamp@00001", ID: "lamp-00001", Phase: backend.PhaseKept, Outcome: &backend.Outcome{Reason: backend.ReasonLost, ExitCode: 125, Missing: []string{"KEY", "the secret of forge"}}}})[0]
	condition := resources.Condition(missing, v1alpha1.ConditionCredentialsMissing)
	if condition == nil || condition.Message != "KEY, the secret of forge went with the bottle: `claude-bottle resume lamp@00001` brings it again" || condition.Reason != backend.ReasonLost {
		t.Errorf("it says %+v", condition)
	}
	if missing.Status.Phase != "Pending" || resources.Word(missing) != v1alpha1.ConditionCredentialsMissing || resources.Condition(missing, v1alpha1.ConditionFinished).Status != "True" {
		t.Errorf("it is %+v", missing.Status)
	}
	task := find(t, bottles, "task@bbbbb")
	if ready := resources.Condition(task, v1alpha1.ConditionReady); !ready.LastTransitionTime.Time.Equal(ago(5*time.Minute)) || ready.ObservedGeneration != 1 {
		t.Errorf("it says %+v", ready)
	}
	if task.Status.Restarts != 2 || *task.Status.ExitCode != 7 || task.Status.UnsavedWork.Commits != 3 || task.Spec.Prompt != "fix the tests" {
		t.Errorf("it is %+v", task)
	}
	if lasting := find(t, bottles, "lasting"); lasting.Spec.Image != "image:1" || *lasting.Spec.IdleTimeoutSeconds != 600 || lasting.Labels["by"] != "start" || lasting.Spec.RestartPolicy != v1alpha1.RestartAlways {
		t.Errorf("it is %+v", lasting.Spec)
	}
	if resources.Condition(task, "Other") != nil || resources.Word(&v1alpha1.Bottle{Status: v1alpha1.BottleStatus{Phase: "X"}}) != "X" {
		t.Error("there is a condition that nobody has said")
	}
}
