package resources

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// lastApplied is where kubectl keeps what was applied, which is of no use here.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Wish is base as the Bottle wishes it. Base holds the agent's and the bottle's files, and
// what the Bottle has no word for. What the bottle file doesn't allow is a
// PermissionDenied error: a resource may choose less, not more.
func Wish(bottle *v1alpha1.Bottle, base backend.Spec) (backend.Spec, error) {
	spec, wish := base, bottle.Spec
	file := base.Manifest.Bottle
	if wish.RuntimeClassName != "" && wish.RuntimeClassName != string(backend.RuntimeGVisor) && file.Runtime == backend.RuntimeGVisor {
		return spec, denied(field.NewPath("spec", "runtimeClassName"), fmt.Sprintf("bottle %s demands gvisor", file.Name))
	}
	limits, err := Limits(wish.Resources, file)
	if err != nil {
		return spec, err
	}
	declaration, err := Declaration(bottle)
	if err != nil {
		return spec, err
	}
	spec.Name, spec.Image, spec.Runtime = bottle.Name, wish.Image, backend.RuntimePolicy(wish.RuntimeClassName)
	spec.Limits, spec.Declaration, spec.ClaudeArgs = limits, declaration, arguments(wish)
	if wish.Workspace.Path != "" {
		spec.CopyCwd, spec.Cwd = true, wish.Workspace.Path
		spec.IncludeIgnored, spec.IncludeSecrets = wish.Workspace.IncludeIgnored, wish.Workspace.IncludeSecrets
	}
	return spec, nil
}

func denied(path *field.Path, why string) error {
	return fmt.Errorf("%s: %s, and a resource can't widen it: %w", path, why, errdefs.ErrPermissionDenied)
}

// arguments are claude's. What stands before -- can't swallow the prompt, and it may
// begin with a dash.
func arguments(wish v1alpha1.BottleSpec) []string {
	if wish.Prompt == "" {
		return slices.Clone(wish.Args)
	}
	return slices.Concat([]string{"-p"}, wish.Args, []string{"--", wish.Prompt})
}

// Limits are those of the bottle file, lowered as the resource wishes. One that the file
// doesn't name may be set; more than it names is a PermissionDenied error.
func Limits(wish v1alpha1.Resources, file backend.BottleFile) (backend.Limits, error) {
	most, err := manifest.Limits(file.Resources)
	if err != nil {
		return most, err
	}
	asked := file.Resources
	path := field.NewPath("spec", "resources", "limits")
	if memory, ok := wish.Limits[v1alpha1.ResourceMemory]; ok {
		if file.Resources.Memory != "" && memory.Value() > most.MemoryBytes {
			return most, denied(path.Key("memory"), fmt.Sprintf("bottle %s allows %s", file.Name, file.Resources.Memory))
		}
		asked.Memory = strconv.FormatInt(memory.Value(), 10)
	}
	if cpu, ok := wish.Limits[v1alpha1.ResourceCPU]; ok {
		if file.Resources.CPUs != "" && cpu.MilliValue() > most.CPUMillis {
			return most, denied(path.Key("cpu"), fmt.Sprintf("bottle %s allows %s", file.Name, file.Resources.CPUs))
		}
		asked.CPUs = strconv.FormatFloat(float64(cpu.MilliValue())/1000, 'f', -1, 64)
	}
	lowered, err := manifest.Limits(asked)
	if err != nil {
		return lowered, fmt.Errorf("spec.resources.limits: %w", err)
	}
	return lowered, nil
}

// Declaration is what a Bottle declares beside what is in it.
func Declaration(bottle *v1alpha1.Bottle) (*backend.Declaration, error) {
	object, err := canonical(bottle)
	if err != nil {
		return nil, err
	}
	life := backend.Life{
		Restart:                 backend.RestartPolicy(bottle.Spec.RestartPolicy),
		TTLSecondsAfterFinished: bottle.Spec.TTLSecondsAfterFinished,
	}
	if seconds := bottle.Spec.ActiveDeadlineSeconds; seconds != nil {
		life.ActiveDeadlineSeconds = *seconds
	}
	if seconds := bottle.Spec.IdleTimeoutSeconds; seconds != nil {
		life.IdleTimeoutSeconds = *seconds
	}
	return &backend.Declaration{Labels: bottle.Labels, Life: life, Generation: 1, Object: object}, nil
}

// applied is what of a Bottle the user says.
type applied struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        appliedMeta         `json:"metadata"`
	Spec            v1alpha1.BottleSpec `json:"spec"`
}

type appliedMeta struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// said is that of a Bottle.
func said(bottle *v1alpha1.Bottle) applied {
	own := bottle.DeepCopy()
	delete(own.Annotations, lastApplied)
	return applied{own.TypeMeta, appliedMeta{own.Name, own.Labels, own.Annotations}, own.Spec}
}

// canonical is the same JSON for the same wish.
func canonical(bottle *v1alpha1.Bottle) (json.RawMessage, error) {
	data, err := json.Marshal(said(bottle))
	if err != nil {
		return nil, fmt.Errorf("encode Bottle %s: %w", bottle.Name, err)
	}
	return data, nil
}

// Applied is the Bottle that was declared, or nil where none was: the bottle was started
// by another verb, or by a program whose word isn't understood.
func Applied(declaration *backend.Declaration) *v1alpha1.Bottle {
	if declaration == nil || len(declaration.Object) == 0 {
		return nil
	}
	bottle := &v1alpha1.Bottle{}
	if err := json.Unmarshal(declaration.Object, bottle); err != nil {
		return nil
	}
	v1alpha1.Default(bottle)
	return bottle
}
