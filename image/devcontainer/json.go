package devcontainer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"github.com/tailscale/hujson"
)

// document is a file whose values know where they stand.
type document struct {
	path string
	data []byte
}

// member is a key and its value.
type member struct {
	key   string
	value hujson.Value
}

var position = pattern.Lazy(`(?s)^hujson: line (\d+), column \d+: (.*)$`)

// mostSaid bounds what an error repeats of a file, in bytes.
const mostSaid = 100

// open parses the file: JSON in which comments and a last comma may stand.
func open(path string, data []byte) (document, hujson.Value, error) {
	d := document{path, bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))}
	value, err := hujson.Parse(d.data)
	if err == nil {
		return d, value, nil
	}
	line, said := "1", err.Error()
	if match := position().FindStringSubmatch(said); match != nil {
		line, said = match[1], match[2]
	}
	return d, value, fmt.Errorf("%s:%s: %s: %w", path, line, backend.Printable(shortened(said)), errdefs.ErrInvalidArgument)
}

func shortened(text string) string {
	if len(text) > mostSaid {
		return text[:mostSaid] + "..."
	}
	return text
}

// wrong is an error at a value.
func (d document) wrong(at hujson.Value, key, format string, args ...any) error {
	line := 1 + bytes.Count(d.data[:at.StartOffset], []byte("\n"))
	if key != "" {
		key = backend.Printable(shortened(key)) + ": "
	}
	return fmt.Errorf("%s:%d: %s%s: %w", d.path, line, key, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// members are those of an object, in their order. A key that stands there twice is refused:
// programs differ in which one they take.
func (d document) members(value hujson.Value, key string) ([]member, error) {
	object, ok := value.Value.(*hujson.Object)
	if !ok {
		return nil, d.wrong(value, key, "keys and values are expected here")
	}
	seen := make(map[string]bool, len(object.Members))
	list := make([]member, 0, len(object.Members))
	for _, each := range object.Members {
		name, err := d.text(each.Name, key)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, d.wrong(each.Name, below(key, name), "it stands there twice")
		}
		seen[name] = true
		list = append(list, member{name, each.Value})
	}
	return list, nil
}

// below is the key of a member.
func below(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func (d document) elements(value hujson.Value, key string) ([]hujson.Value, error) {
	array, ok := value.Value.(*hujson.Array)
	if !ok {
		return nil, d.wrong(value, key, "a list is expected here")
	}
	return array.Elements, nil
}

// text is a string without a zero byte, which no argument or variable can hold.
func (d document) text(value hujson.Value, key string) (string, error) {
	if value.Value.Kind() != '"' {
		return "", d.wrong(value, key, "a text is expected here")
	}
	text := value.Value.(hujson.Literal).String()
	if strings.ContainsRune(text, 0) {
		return "", d.wrong(value, key, "it holds a zero byte")
	}
	return text, nil
}

func (d document) texts(value hujson.Value, key string) ([]string, error) {
	elements, err := d.elements(value, key)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(elements))
	for i, element := range elements {
		if list[i], err = d.text(element, key); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// port is a TCP port; ok is unset for what is none.
func port(text string) (number uint16, ok bool) {
	parsed, err := strconv.ParseUint(text, 10, 16)
	return uint16(parsed), err == nil && parsed > 0
}
