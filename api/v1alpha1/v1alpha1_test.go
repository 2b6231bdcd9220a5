package v1alpha1

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const full = `apiVersion: claude-bottle.dev/v1alpha1
kind: Bottle
metadata:
  name: tests
  labels:
    team: web
  annotations:
    why: "true"
spec:
  agent: claude
  bottle: default
  image: docker.io/library/claude:base
  runtimeClassName: gvisor
  prompt: fix the tests
  args: [--max-turns, "3"]
  workspace:
    path: /src
    includeIgnored: true
  restartPolicy: OnFailure
  activeDeadlineSeconds: 3600
  idleTimeoutSeconds: 600
  ttlSecondsAfterFinished: 0
  resources:
    limits:
      cpu: 1500m
      memory: 2Gi
  lease:
    durationSeconds: 60
`

func decodeOne(t *testing.T, document string) *Bottle {
	t.Helper()
	bottles, err := Decode([]byte(document))
	if err != nil || len(bottles) != 1 {
		t.Fatalf("%d bottles, %v", len(bottles), err)
	}
	return bottles[0]
}

func TestABottleComesBackAsItWasWritten(t *testing.T) {
	bottle := decodeOne(t, full)
	if problems := Validate(bottle); len(problems) > 0 {
		t.Fatal(problems)
	}
	if *bottle.Spec.TTLSecondsAfterFinished != 0 || bottle.Spec.Resources.Limits[ResourceCPU] != resource.MustParse("1500m") {
		t.Errorf("it is %+v", bottle.Spec)
	}
	printed, err := yaml.Marshal(bottle)
	if err != nil {
		t.Fatal(err)
	}
	if again := decodeOne(t, string(printed)); !equality.Semantic.DeepEqual(again, bottle) {
		t.Errorf("it came back as\n%s", printed)
	}
	if strings.Contains(string(printed), "status") || strings.Contains(string(printed), "creationTimestamp") {
		t.Errorf("what nobody has said is printed:\n%s", printed)
	}
}

func TestAStatusComesBackAsItWas(t *testing.T) {
	bottle := &Bottle{}
	fill(reflect.ValueOf(bottle).Elem(), 1)
	data, err := json.Marshal(bottle)
	if err != nil {
		t.Fatal(err)
	}
	again := &Bottle{}
	if err := json.Unmarshal(data, again); err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(again.Status, bottle.Status) {
		t.Error(cmp.Diff(bottle.Status, again.Status))
	}
}

func TestListsOfBottlesAreRead(t *testing.T) {
	item := "\n- " + strings.ReplaceAll(strings.TrimSpace(full), "\n", "\n  ")
	for _, head := range []string{"apiVersion: v1\nkind: List\n", "apiVersion: claude-bottle.dev/v1alpha1\nkind: BottleList\n"} {
		bottles, err := Decode([]byte(head + "metadata:\n  resourceVersion: ''\nitems:" + item + item))
		if err != nil || len(bottles) != 2 || bottles[1].Name != "tests" {
			t.Errorf("%q: %d bottles, %v", head, len(bottles), err)
		}
	}
	if bottles, err := Decode([]byte("# nothing\n")); err != nil || len(bottles) != 0 {
		t.Errorf("of nothing: %d bottles, %v", len(bottles), err)
	}
}

func TestWhatIsNotKnownIsAnErrorThatNamesTheNearest(t *testing.T) {
	head := "apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\nmetadata: {name: x}\n"
	for name, test := range map[string]struct {
		document string
		want     []string
	}{
		"typo in spec":         {head + "spec: {agent: a, imagee: b}", []string{"spec.imagee: unknown field, did you mean image?"}},
		"other case":           {head + "spec: {agent: a, Prompt: b}", []string{"spec.Prompt: unknown field, did you mean prompt?"}},
		"several":              {head + "spec: {agnet: a, ttlSecondAfterFinished: 5}", []string{"did you mean agent?", "did you mean ttlSecondsAfterFinished?"}},
		"at the top":           {head + "specs: {agent: a}", []string{"specs: unknown field, did you mean spec?"}},
		"in metadata":          {strings.Replace(head, "name: x", "name: x, label: {a: b}", 1) + "spec: {agent: a}", []string{"metadata.label: unknown field, did you mean labels?"}},
		"deep":                 {head + "spec: {agent: a, workspace: {paths: .}}", []string{"spec.workspace.paths: unknown field, did you mean path?"}},
		"in resources":         {head + "spec: {agent: a, resources: {requests: {cpu: 1}}}", []string{"spec.resources.requests: unknown field, known are limits"}},
		"far from all":         {head + "spec: {agent: a, lease: {q: 1}}", []string{"spec.lease.q: unknown field, known are durationSeconds"}},
		"twice":                {head + "spec: {agent: a, agent: b}", []string{`key "agent" already set`, "line 4"}},
		"twice in JSON":        {`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","kind":"Bottle"}`, []string{`key "kind" already set`}},
		"number as text":       {head + "spec: {agent: 5}", []string{"number", "spec.agent", "string"}},
		"label that is a bool": {strings.Replace(head, "name: x", "name: x, labels: {a: yes}", 1), []string{"bool", "labels", "string"}},
		"quantity":             {head + "spec: {agent: a, resources: {limits: {cpu: lots}}}", []string{"quantities must match"}},
		"other kind":           {"apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottel\n", []string{"did you mean kind: Bottle?"}},
		"other version":        {"apiVersion: claude-bottle.dev/v1\nkind: Bottle\n", []string{"did you mean apiVersion: claude-bottle.dev/v1alpha1?"}},
		"a pod":                {"apiVersion: v1\nkind: Pod\n", []string{`apiVersion "v1", kind "Pod"`, "only Bottle"}},
		"no kind":              {"metadata: {name: x}\n", []string{"apiVersion and kind are missing"}},
		"a list":               {"- a\n", []string{"no resource"}},
		"no YAML":              {"a: [\n", []string{"yaml"}},
		"item of a list":       {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {}\n", []string{"items[0]", "Pod"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(test.document))
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said: %v", want, err)
				}
			}
		})
	}
}

func TestOfManyMistakesTheFirstAreNamed(t *testing.T) {
	document := "apiVersion: claude-bottle.dev/v1alpha1\nkind: Bottle\n"
	for i := range 1000 {
		document += fmt.Sprintf("k%d: 1\n", i)
	}
	_, err := Decode([]byte(document))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.Contains(err.Error(), "there are more mistakes") {
		t.Errorf("it says %v", err)
	}
}

func TestWhatCantBeIsNamedByItsPath(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Bottle)
		want   string
	}{
		"no name":             {func(b *Bottle) { b.Name = "" }, "metadata.name: Required"},
		"name":                {func(b *Bottle) { b.Name = "A_b" }, "metadata.name: Invalid"},
		"long name":           {func(b *Bottle) { b.Name = strings.Repeat("a", 41) }, "metadata.name: Invalid"},
		"generated name":      {func(b *Bottle) { b.GenerateName = "a-" }, "metadata.generateName: Forbidden"},
		"finalizer":           {func(b *Bottle) { b.Finalizers = []string{"a/b"} }, "metadata.finalizers: Forbidden"},
		"owner":               {func(b *Bottle) { b.OwnerReferences = []metav1.OwnerReference{{}} }, "metadata.ownerReferences: Forbidden"},
		"label":               {func(b *Bottle) { b.Labels = map[string]string{"a b": "c"} }, "metadata.labels: Invalid"},
		"annotation":          {func(b *Bottle) { b.Annotations = map[string]string{"a b": "c"} }, "metadata.annotations: Invalid"},
		"no agent":            {func(b *Bottle) { b.Spec.Agent = "" }, "spec.agent: Required"},
		"agent":               {func(b *Bottle) { b.Spec.Agent = "../x" }, "spec.agent: Invalid"},
		"bottle":              {func(b *Bottle) { b.Spec.Bottle = "x/y" }, "spec.bottle: Invalid"},
		"image":               {func(b *Bottle) { b.Spec.Image = "a b" }, "spec.image: Invalid"},
		"runtime":             {func(b *Bottle) { b.Spec.RuntimeClassName = "kata" }, "spec.runtimeClassName: Unsupported"},
		"restart":             {func(b *Bottle) { b.Spec.RestartPolicy = "always" }, "spec.restartPolicy: Unsupported"},
		"deadline":            {func(b *Bottle) { *b.Spec.ActiveDeadlineSeconds = 0 }, "spec.activeDeadlineSeconds: Invalid"},
		"idle":                {func(b *Bottle) { *b.Spec.IdleTimeoutSeconds = -1 }, "spec.idleTimeoutSeconds: Invalid"},
		"ttl":                 {func(b *Bottle) { *b.Spec.TTLSecondsAfterFinished = 1 << 60 }, "spec.ttlSecondsAfterFinished: Invalid"},
		"lease":               {func(b *Bottle) { b.Spec.Lease.DurationSeconds = 0 }, "spec.lease.durationSeconds: Invalid"},
		"limit":               {func(b *Bottle) { b.Spec.Resources.Limits["gpu"] = resource.MustParse("1") }, "spec.resources.limits: Unsupported"},
		"negative limit":      {func(b *Bottle) { b.Spec.Resources.Limits["cpu"] = resource.MustParse("-1") }, "spec.resources.limits[cpu]: Invalid"},
		"whole host":          {func(b *Bottle) { b.Spec.Workspace.Path = "/x/.." }, "spec.workspace.path: Invalid"},
		"included of what":    {func(b *Bottle) { b.Spec.Workspace.Path = "" }, "spec.workspace.path: Required"},
		"prompt twice":        {func(b *Bottle) { b.Spec.Args = []string{"-p"} }, "spec.args[0]: Invalid"},
		"zero byte":           {func(b *Bottle) { b.Spec.Args = []string{"a\x00"} }, "spec.args[0]: Invalid"},
		"zero byte to claude": {func(b *Bottle) { b.Spec.Prompt = "a\x00" }, "spec.prompt: Invalid"},
		"long prompt":         {func(b *Bottle) { b.Spec.Prompt = strings.Repeat("a", maxPrompt+1) }, "spec.prompt: Too long"},
	} {
		t.Run(name, func(t *testing.T) {
			bottle := decodeOne(t, full)
			test.change(bottle)
			problems := Validate(bottle)
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), test.want) {
				t.Errorf("it says %v", problems.ToAggregate())
			}
		})
	}
}

func TestACopySharesNothing(t *testing.T) {
	original, untouched := &BottleList{}, &BottleList{}
	fill(reflect.ValueOf(original).Elem(), 1)
	fill(reflect.ValueOf(untouched).Elem(), 1)
	copied, ok := original.DeepCopyObject().(*BottleList)
	if !ok || !reflect.DeepEqual(copied, original) {
		t.Fatalf("the copy differs: %+v", copied)
	}
	spoil(reflect.ValueOf(copied).Elem())
	if !reflect.DeepEqual(original, untouched) {
		t.Error("a change of the copy is seen in the original")
	}
	if (*Bottle)(nil).DeepCopy() != nil || (*BottleList)(nil).DeepCopy() != nil {
		t.Error("the copy of nothing is something")
	}
}

// fill gives each field below v a value that is not its zero.
func fill(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.NewTime(time.Unix(1e9, 0))))
		return
	case resource.Quantity:
		v.Set(reflect.ValueOf(resource.MustParse("3Gi")))
		return
	case metav1.FieldsV1:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64, reflect.Int32, reflect.Int:
		v.SetInt(int64(depth))
	}
}

// spoil changes whatever can be reached from v.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				spoil(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
		}
	case reflect.Map:
		v.Clear()
	case reflect.String:
		v.SetString("spoiled")
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Int64, reflect.Int32, reflect.Int:
		v.SetInt(-7)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{}, null, 5]\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, document []byte) {
		bottles, err := Decode(document)
		if err != nil {
			return
		}
		for _, bottle := range bottles {
			Default(bottle)
			if len(Validate(bottle)) > 0 {
				continue
			}
			printed, err := yaml.Marshal(bottle)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(printed)
			if err != nil || len(again) != 1 || !equality.Semantic.DeepEqual(again[0].Spec, bottle.Spec) || again[0].Name != bottle.Name {
				t.Fatalf("%s\ncame back as %+v, %v", printed, again, err)
			}
		}
	})
}
