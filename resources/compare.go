package resources

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

// mutable are the fields of spec that may change while the bottle is there.
func mutable() []string { return []string{"ttlSecondsAfterFinished"} }

// Change says how a Bottle differs from the one of its name that is there.
type Change struct {
	// Unchanged says that it doesn't.
	Unchanged bool
	// Declaration is to be declared when it does.
	Declaration backend.Declaration
}

// Compare compares a Bottle with what was declared of the one that is there. A change of
// what can't change is a FailedPrecondition error that names the fields.
func Compare(was *v1alpha1.Bottle, now *v1alpha1.Bottle, declaration *backend.Declaration) (Change, error) {
	fixed, err := fixedFields(was, now)
	if err != nil {
		return Change{}, err
	}
	if len(fixed) > 0 {
		return Change{}, fmt.Errorf("%s can't change while it is there, labels, annotations and spec.%s may: `claude-bottle delete %s` removes it, then apply anew: %w",
			strings.Join(fixed, ", "), strings.Join(mutable(), ", spec."), now.Name, errdefs.ErrFailedPrecondition)
	}
	if equality.Semantic.DeepEqual(said(was), said(now)) {
		return Change{Unchanged: true}, nil
	}
	declared, err := Declaration(now)
	if err != nil {
		return Change{}, err
	}
	changed := *declaration
	changed.Labels, changed.Object, changed.Generation = declared.Labels, declared.Object, declaration.Generation+1
	changed.Life.TTLSecondsAfterFinished = declared.Life.TTLSecondsAfterFinished
	return Change{Declaration: changed}, nil
}

// fixedFields are the paths of what differs and can't.
func fixedFields(was, now *v1alpha1.Bottle) ([]string, error) {
	before, err := specFields(was)
	if err != nil {
		return nil, err
	}
	after, err := specFields(now)
	if err != nil {
		return nil, err
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(merged(before, after))) {
		if string(before[name]) != string(after[name]) && !slices.Contains(mutable(), name) {
			differ = append(differ, "spec."+name)
		}
	}
	return differ, nil
}

func merged(a, b map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// specFields are the fields of a spec by name, each in the one way to write it.
func specFields(bottle *v1alpha1.Bottle) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(bottle.Spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec of %s: %w", bottle.Name, err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("encode spec of %s: %w", bottle.Name, err)
	}
	return fields, nil
}

// Diff is how what is there becomes what is declared, as diff -u shows it; "" when it
// need not. A Bottle that isn't there is nil.
func Diff(was, now *v1alpha1.Bottle) (string, error) {
	before, err := text(was)
	if err != nil {
		return "", err
	}
	after, err := text(now)
	if err != nil {
		return "", err
	}
	name := v1alpha1.Resource + "/" + now.Name
	return udiff.Unified("live/"+name, "declared/"+name, before, after), nil
}

func text(bottle *v1alpha1.Bottle) (string, error) {
	if bottle == nil {
		return "", nil
	}
	data, err := yaml.Marshal(said(bottle))
	if err != nil {
		return "", fmt.Errorf("encode Bottle %s: %w", bottle.Name, err)
	}
	return string(data), nil
}
