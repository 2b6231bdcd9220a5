package v1alpha1

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/claude-bottle/claude-bottle/spelling"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Decode reads one document of YAML or JSON: a Bottle, a BottleList, or a List of v1
// with Bottles in it. It is strict: unknown and duplicate fields are named in the
// error, with the nearest field that is known. A document without anything in it has no
// Bottles. They are neither defaulted nor validated.
func Decode(document []byte) ([]*Bottle, error) {
	data, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "\n ", ""))
	}
	if string(data) == "null" {
		return nil, nil
	}
	var kind metav1.TypeMeta
	if _, err := kjson.UnmarshalStrict(data, &kind); err != nil {
		return nil, fmt.Errorf("it is no resource: %w", err)
	}
	switch {
	case kind.APIVersion == "" || kind.Kind == "":
		return nil, fmt.Errorf("apiVersion and kind are missing: write apiVersion: %s and kind: %s", APIVersion, Kind)
	case kind.APIVersion == APIVersion && kind.Kind == Kind:
		bottle := &Bottle{}
		return []*Bottle{bottle}, decodeStrictly(data, bottle)
	case kind.APIVersion == APIVersion && kind.Kind == ListKind, kind.APIVersion == "v1" && kind.Kind == "List":
		return decodeList(data)
	default:
		return nil, unknownKind(kind)
	}
}

func unknownKind(kind metav1.TypeMeta) error {
	hint := ""
	switch {
	case kind.APIVersion == APIVersion && spelling.Nearest(kind.Kind, []string{Kind}) != "":
		hint = "did you mean kind: " + Kind + "? "
	case kind.Kind == Kind && spelling.Nearest(kind.APIVersion, []string{APIVersion}) != "":
		hint = "did you mean apiVersion: " + APIVersion + "? "
	}
	return fmt.Errorf("apiVersion %q, kind %q: %sonly %s of %s are known here", kind.APIVersion, kind.Kind, hint, Kind, APIVersion)
}

// decodeList reads the items one by one, as each says its own kind.
func decodeList(data []byte) ([]*Bottle, error) {
	var list struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ListMeta   `json:"metadata"`
		Items           []json.RawMessage `json:"items"`
	}
	if err := decodeStrictly(data, &list); err != nil {
		return nil, err
	}
	var bottles []*Bottle
	var failed []error
	for i, item := range list.Items {
		bottle := &Bottle{}
		err := decodeStrictly(item, bottle)
		switch {
		case err == nil && bottle.Kind == "" && bottle.APIVersion == "" && list.Kind == ListKind:
		case err == nil && (bottle.Kind != Kind || bottle.APIVersion != APIVersion):
			err = unknownKind(bottle.TypeMeta)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("items[%d]: %w", i, err))
		}
		bottles = append(bottles, bottle)
	}
	return bottles, errors.Join(failed...)
}

// maxMistakes bounds how many of one Bottle are named.
const maxMistakes = 20

// decodeStrictly names all that the type does not know.
func decodeStrictly(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	failed := make([]error, 0, maxMistakes+1)
	for _, one := range strict[:min(maxMistakes, len(strict))] {
		failed = append(failed, explained(one, reflect.TypeOf(into)))
	}
	if len(strict) > maxMistakes {
		failed = append(failed, errors.New("there are more mistakes"))
	}
	return errors.Join(failed...)
}

var quotedPath = pattern.Lazy(`^unknown field "(.*)"$`)

// explained adds to the decoder's word which field was meant.
func explained(err error, of reflect.Type) error {
	match := quotedPath().FindStringSubmatch(err.Error())
	if match == nil {
		return err
	}
	path := match[1]
	above, last := "", path
	if cut := strings.LastIndexByte(path, '.'); cut >= 0 {
		above, last = path[:cut], path[cut+1:]
	}
	known := fieldsAt(of, above)
	if near := spelling.Nearest(last, known); near != "" {
		return fmt.Errorf("%s: unknown field, did you mean %s?", path, near)
	}
	if len(known) == 0 {
		return fmt.Errorf("%s: unknown field", path)
	}
	return fmt.Errorf("%s: unknown field, known are %s", path, strings.Join(known, ", "))
}

var index = pattern.Lazy(`\[\d+\]`)

// fieldsAt are the names of the fields that the struct at path has.
func fieldsAt(of reflect.Type, path string) []string {
	for _, name := range strings.Split(index().ReplaceAllString(path, ""), ".") {
		of = elem(of)
		if name == "" || of.Kind() != reflect.Struct {
			continue
		}
		field, ok := fields(of)[name]
		if !ok {
			return nil
		}
		of = field
	}
	of = elem(of)
	if of.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for name := range fields(of) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func elem(of reflect.Type) reflect.Type {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	return of
}

// fields are those of a struct by their names in JSON, those of embedded ones included.
func fields(of reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "" && field.Anonymous:
			for inner, innerType := range fields(elem(field.Type)) {
				found[inner] = innerType
			}
		case name != "" && name != "-":
			found[name] = field.Type
		}
	}
	return found
}
