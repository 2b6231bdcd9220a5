package v1alpha1

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of a Bottle.
const (
	maxName   = 40
	maxPrompt = 100 << 10 // bytes; it becomes one argument of a process
	maxArgs   = 128
)

// Default fills in what a Bottle says without saying it.
func Default(b *Bottle) {
	b.APIVersion, b.Kind = APIVersion, Kind
	if b.Spec.RestartPolicy == "" {
		b.Spec.RestartPolicy = RestartNever
	}
}

// Validate names all fields that can't be as they are, whichever backend is to take the
// Bottle.
func Validate(b *Bottle) field.ErrorList {
	return append(validateMeta(&b.ObjectMeta, field.NewPath("metadata")), validateSpec(&b.Spec, field.NewPath("spec"))...)
}

// ValidName says why that can't be the name of a bottle, an agent or a bottle file; empty
// says that it can.
func ValidName(name string) []string {
	problems := validation.IsDNS1123Label(name)
	if len(name) > maxName {
		problems = append(problems, validation.MaxLenError(maxName))
	}
	return problems
}

func validateMeta(meta *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	var all field.ErrorList
	if meta.Name == "" {
		all = append(all, field.Required(path.Child("name"), "a Bottle is found by its name"))
	} else {
		all = append(all, names(path.Child("name"), meta.Name)...)
	}
	if meta.GenerateName != "" {
		all = append(all, field.Forbidden(path.Child("generateName"), "a Bottle has a name: it says which one is meant when it is applied again"))
	}
	if len(meta.Finalizers) > 0 {
		all = append(all, field.Forbidden(path.Child("finalizers"), "are not for users to set"))
	}
	if len(meta.OwnerReferences) > 0 {
		all = append(all, field.Forbidden(path.Child("ownerReferences"), "are not for users to set"))
	}
	all = append(all, metavalidation.ValidateLabels(meta.Labels, path.Child("labels"))...)
	return append(all, apivalidation.ValidateAnnotations(meta.Annotations, path.Child("annotations"))...)
}

func names(path *field.Path, name string) field.ErrorList {
	var all field.ErrorList
	for _, problem := range ValidName(name) {
		all = append(all, field.Invalid(path, name, problem))
	}
	return all
}

func validateSpec(spec *BottleSpec, path *field.Path) field.ErrorList {
	var all field.ErrorList
	if spec.Agent == "" {
		all = append(all, field.Required(path.Child("agent"), "it says which agent works in the bottle"))
	} else {
		all = append(all, names(path.Child("agent"), spec.Agent)...)
	}
	if spec.Bottle != "" {
		all = append(all, names(path.Child("bottle"), spec.Bottle)...)
	}
	if strings.ContainsFunc(spec.Image, func(r rune) bool { return r <= ' ' || r > '~' }) {
		all = append(all, field.Invalid(path.Child("image"), spec.Image, "is no image reference"))
	}
	all = append(all, oneOf(path.Child("runtimeClassName"), spec.RuntimeClassName, "auto", "gvisor", "runc")...)
	all = append(all, oneOf(path.Child("restartPolicy"), spec.RestartPolicy, RestartNever, RestartOnFailure, RestartAlways)...)
	all = append(all, validateCommand(spec, path)...)
	all = append(all, validateWorkspace(spec.Workspace, path.Child("workspace"))...)
	for _, bound := range []struct {
		name  string
		value *int64
		least int64
	}{
		{"activeDeadlineSeconds", spec.ActiveDeadlineSeconds, 1},
		{"idleTimeoutSeconds", spec.IdleTimeoutSeconds, 1},
		{"ttlSecondsAfterFinished", spec.TTLSecondsAfterFinished, 0},
	} {
		all = append(all, seconds(path.Child(bound.name), bound.value, bound.least)...)
	}
	if spec.Lease != nil {
		all = append(all, seconds(path.Child("lease", "durationSeconds"), &spec.Lease.DurationSeconds, 1)...)
	}
	return append(all, validateLimits(spec.Resources, path.Child("resources", "limits"))...)
}

func validateCommand(spec *BottleSpec, path *field.Path) field.ErrorList {
	var all field.ErrorList
	if len(spec.Prompt) > maxPrompt {
		all = append(all, field.TooLong(path.Child("prompt"), "", maxPrompt))
	}
	if strings.ContainsRune(spec.Prompt, 0) {
		all = append(all, field.Invalid(path.Child("prompt"), "", "holds a zero byte"))
	}
	if len(spec.Args) > maxArgs {
		all = append(all, field.TooMany(path.Child("args"), len(spec.Args), maxArgs))
	}
	for i, argument := range spec.Args {
		if strings.ContainsRune(argument, 0) {
			all = append(all, field.Invalid(path.Child("args").Index(i), "", "holds a zero byte"))
		}
		if spec.Prompt != "" && (argument == "--" || argument == "-p" || argument == "--print") {
			all = append(all, field.Invalid(path.Child("args").Index(i), argument, "prompt stands for it already"))
		}
	}
	return all
}

func validateWorkspace(workspace Workspace, path *field.Path) field.ErrorList {
	switch {
	case workspace.Path == "" && (workspace.IncludeIgnored || workspace.IncludeSecrets):
		return field.ErrorList{field.Required(path.Child("path"), "what is included is that of a directory")}
	case strings.ContainsRune(workspace.Path, 0):
		return field.ErrorList{field.Invalid(path.Child("path"), "", "holds a zero byte")}
	case workspace.Path != "" && filepath.Clean(workspace.Path) == "/":
		return field.ErrorList{field.Invalid(path.Child("path"), workspace.Path, "the whole host is no workspace")}
	}
	return nil
}

// maxSeconds keeps a time in seconds far from what a duration can hold.
const maxSeconds = 10 * 366 * 24 * 3600

func seconds(path *field.Path, value *int64, least int64) field.ErrorList {
	switch {
	case value == nil:
		return nil
	case *value < least && least == 0:
		return field.ErrorList{field.Invalid(path, *value, "must be 0 or more seconds")}
	case *value < least:
		return field.ErrorList{field.Invalid(path, *value, "must be a second or more: leave it out for no bound")}
	case *value > maxSeconds:
		return field.ErrorList{field.Invalid(path, *value, "must be less than ten years")}
	}
	return nil
}

func oneOf[T ~string](path *field.Path, value T, known ...T) field.ErrorList {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, known)}
}

func validateLimits(resources Resources, path *field.Path) field.ErrorList {
	var all field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(resources.Limits)) {
		quantity := resources.Limits[name]
		switch {
		case name != ResourceCPU && name != ResourceMemory:
			all = append(all, field.NotSupported(path, name, []ResourceName{ResourceCPU, ResourceMemory}))
		case quantity.Sign() <= 0:
			all = append(all, field.Invalid(path.Key(string(name)), quantity.String(), "must be more than 0"))
		}
	}
	return all
}
