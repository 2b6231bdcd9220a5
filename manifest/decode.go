package manifest

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/claude-bottle/claude-bottle/spelling"
	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v3"
)

// decode reads YAML into a struct, strictly: what the struct does not know is an
// error that names line and nearest known key.
func decode(path string, data []byte, into any) error {
	root, err := parse(path, data)
	if err != nil || root == nil {
		return err
	}
	return decodeNode(path, root, into)
}

// parse reads YAML; nil is nothing at all.
func parse(path string, data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var document yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil // nothing but comments
	}
	if err != nil {
		return nil, yamlError(path, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one YAML document: %w", path, errdefs.ErrInvalidArgument)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	return root, nil
}

// decodeNode reads what was parsed into a struct, strictly.
func decodeNode(path string, root *yaml.Node, into any) error {
	if err := checkNode(path, root, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	if err := root.Decode(into); err != nil {
		return yamlError(path, err)
	}
	return nil
}

var yamlLine = pattern.Lazy(`line (\d+): (.*)`)

// yamlError brings the library's message into the form file:line: text.
func yamlError(path string, err error) error {
	if match := yamlLine().FindStringSubmatch(err.Error()); match != nil {
		return fmt.Errorf("%s:%s: %s: %w", path, match[1], backend.Printable(match[2]), errdefs.ErrInvalidArgument)
	}
	return fmt.Errorf("%s: %s: %w", path, backend.Printable(err.Error()), errdefs.ErrInvalidArgument)
}

// checkNode walks node and type together.
func checkNode(path string, node *yaml.Node, want reflect.Type) error {
	at := func(format string, args ...any) error {
		return fmt.Errorf("%s:%d: %s: %w", path, node.Line, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return at("anchors and aliases are not understood: write it out")
	}
	switch want.Kind() {
	case reflect.Struct:
		if node.Kind != yaml.MappingNode {
			if node.Tag == "!!null" {
				return nil
			}
			return at("keys and values are expected here")
		}
		return checkStruct(path, node, want)
	case reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			if node.Tag == "!!null" {
				return nil
			}
			return at("a list is expected here")
		}
		for _, element := range node.Content {
			if err := checkNode(path, element, want.Elem()); err != nil {
				return err
			}
		}
	case reflect.Map:
		if node.Kind != yaml.MappingNode && node.Tag != "!!null" {
			return at("keys and values are expected here")
		}
		for i := 1; i < len(node.Content); i += 2 {
			if err := checkNode(path, node.Content[i], want.Elem()); err != nil {
				return err
			}
		}
	default:
		if node.Kind != yaml.ScalarNode {
			return at("one value is expected here")
		}
	}
	return nil
}

func checkStruct(path string, node *yaml.Node, want reflect.Type) error {
	fields := map[string]reflect.Type{}
	for i := range want.NumField() {
		name, _, _ := strings.Cut(want.Field(i).Tag.Get("yaml"), ",")
		if name != "-" && name != "" {
			fields[name] = want.Field(i).Type
		}
	}
	var seen []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		field, ok := fields[key.Value]
		if !ok {
			known := make([]string, 0, len(fields))
			for name := range fields {
				known = append(known, name)
			}
			slices.Sort(known)
			hint := "known are " + strings.Join(known, ", ")
			if near := spelling.Nearest(key.Value, known); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			return fmt.Errorf("%s:%d: unknown key %s: %s: %w", path, key.Line, backend.Printable(key.Value), hint, errdefs.ErrInvalidArgument)
		}
		if slices.Contains(seen, key.Value) {
			return fmt.Errorf("%s:%d: key %s stands there twice: %w", path, key.Line, key.Value, errdefs.ErrInvalidArgument)
		}
		seen = append(seen, key.Value)
		if err := checkNode(path, node.Content[i+1], field); err != nil {
			return err
		}
	}
	return nil
}
