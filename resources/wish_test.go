package resources_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/containerd/errdefs"
)

// one reads one Bottle with those lines in its spec.
func one(t *testing.T, spec ...string) *v1alpha1.Bottle {
	t.Helper()
	bottles, err := resources.Read(resources.Files{Paths: []string{"-"}, Cwd: "/here", Home: "/home/me", Stdin: strings.NewReader(document("task", spec...))})
	if err != nil {
		t.Fatal(err)
	}
	return bottles[0]
}

func base(file backend.BottleFile) backend.Spec {
	file.Name = "narrow"
	return backend.Spec{Manifest: &backend.Manifest{Bottle: file}, Home: "/home/me", Cwd: "/here", ForwardOAuthToken: true}
}

func TestABottleBecomesAWishAndADeclaration(t *testing.T) {
	spec, err := resources.Wish(one(t, "image: other", "runtimeClassName: gvisor", "prompt: --help me", "args: [--max-turns, '3']", "workspace: {path: src, includeSecrets: true}",
		"restartPolicy: OnFailure", "activeDeadlineSeconds: 60", "idleTimeoutSeconds: 30", "ttlSecondsAfterFinished: 0", "resources: {limits: {cpu: 1.5, memory: 1Gi}}"), base(backend.BottleFile{}))
	if err != nil {
		t.Fatal(err)
	}
	if spec.Name != "task" || spec.Image != "other" || spec.Runtime != backend.RuntimeGVisor || !spec.CopyCwd || spec.Cwd != "/here/src" || !spec.IncludeSecrets || spec.IncludeIgnored || !spec.ForwardOAuthToken {
		t.Errorf("the wish is %+v", spec)
	}
	if want := []string{"-p", "--max-turns", "3", "--", "--help me"}; !slices.Equal(spec.ClaudeArgs, want) {
		t.Errorf("claude gets %q", spec.ClaudeArgs)
	}
	if spec.Limits.CPUMillis != 1500 || spec.Limits.MemoryBytes != 1<<30 || spec.Limits.Processes == 0 {
		t.Errorf("limits are %+v", spec.Limits)
	}
	life := spec.Declaration.Life
	if life.Restart != backend.RestartOnFailure || life.ActiveDeadlineSeconds != 60 || life.IdleTimeoutSeconds != 30 || *life.TTLSecondsAfterFinished != 0 || spec.Declaration.Generation != 1 {
		t.Errorf("declared is %+v", spec.Declaration)
	}
	plain, err := resources.Wish(one(t, "args: [--continue]"), base(backend.BottleFile{}))
	if err != nil || plain.CopyCwd || !slices.Equal(plain.ClaudeArgs, []string{"--continue"}) || plain.Declaration.Life.TTLSecondsAfterFinished != nil {
		t.Errorf("without a prompt it is %+v, %v", plain, err)
	}
}

func TestT46_AResourceWidensNothing(t *testing.T) {
	file := backend.BottleFile{Runtime: backend.RuntimeGVisor, Resources: backend.Resources{Memory: "1Gi", CPUs: "1"}}
	for line, want := range map[string]string{
		"runtimeClassName: runc":                "spec.runtimeClassName: bottle narrow demands gvisor",
		"runtimeClassName: auto":                "spec.runtimeClassName: bottle narrow demands gvisor",
		"resources: {limits: {memory: 1025Mi}}": "spec.resources.limits[memory]: bottle narrow allows 1Gi",
		"resources: {limits: {cpu: 1001m}}":     "spec.resources.limits[cpu]: bottle narrow allows 1",
	} {
		if _, err := resources.Wish(one(t, line), base(file)); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	lowered, err := resources.Wish(one(t, "resources: {limits: {memory: 512Mi, cpu: 100m}}", "runtimeClassName: gvisor"), base(file))
	if err != nil || lowered.Limits.MemoryBytes != 512<<20 || lowered.Limits.CPUMillis != 100 {
		t.Errorf("lowered they are %+v, %v", lowered.Limits, err)
	}
	if _, err := resources.Wish(one(t, "resources: {limits: {memory: 1Mi}}"), base(file)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("too little memory: %v", err)
	}
}

func TestWhatDiffersIsUnchangedConfiguredOrRefused(t *testing.T) {
	was := one(t, "resources: {limits: {cpu: 1.5}}", "ttlSecondsAfterFinished: 60")
	declaration, err := resources.Declaration(was)
	if err != nil {
		t.Fatal(err)
	}
	declaration.Generation = 4
	compare := func(now *v1alpha1.Bottle) (resources.Change, error) {
		return resources.Compare(resources.Applied(declaration), now, declaration)
	}
	if change, err := compare(one(t, "resources: {limits: {cpu: 1500m}}", "ttlSecondsAfterFinished: 60", "restartPolicy: Never")); err != nil || !change.Unchanged {
		t.Errorf("the same in other words: %+v, %v", change, err)
	}
	changed := one(t, "resources: {limits: {cpu: 1.5}}")
	changed.Labels = map[string]string{"a": "b"}
	change, err := compare(changed)
	if err != nil || change.Unchanged || change.Declaration.Generation != 5 || change.Declaration.Labels["a"] != "b" || change.Declaration.Life.TTLSecondsAfterFinished != nil {
		t.Errorf("a label and the TTL: %+v, %v", change, err)
	}
	if again := resources.Applied(&change.Declaration); again.Labels["a"] != "b" || again.Spec.TTLSecondsAfterFinished != nil {
		t.Errorf("declared is %+v", again)
	}
	_, err = compare(one(t, "resources: {limits: {cpu: 2}}", "prompt: new", "idleTimeoutSeconds: 5"))
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "spec.idleTimeoutSeconds, spec.prompt, spec.resources can't change") {
		t.Errorf("what can't change: %v", err)
	}
	if patch, err := resources.Diff(resources.Applied(declaration), was); err != nil || patch != "" {
		t.Errorf("of the same the difference is %q, %v", patch, err)
	}
	patch, err := resources.Diff(was, changed)
	for _, want := range []string{"--- live/bottle.claude-bottle.dev/task", "+++ declared/", "+  labels:", "-  ttlSecondsAfterFinished: 60"} {
		if err != nil || !strings.Contains(patch, want) {
			t.Errorf("%q is not in %s, %v", want, patch, err)
		}
	}
	if resources.Applied(nil) != nil || resources.Applied(&backend.Declaration{Object: []byte("{")}) != nil {
		t.Error("something was applied where nothing was")
	}
}
