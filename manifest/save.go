package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// SaveAllowed writes an entry into egress.allow of the user's own bottle file, or
// with allow unset takes it out. It says whether the file had to change. Comments
// and order stay. A file that can't be changed without losing something stays as
// it is, with a FailedPrecondition error.
func SaveAllowed(options Options, bottle, entry string, allow bool) (path string, changed bool, err error) {
	if path, err = Path(options, KindBottle, bottle); err != nil {
		return "", false, err
	}
	data, info, err := readOwn(path)
	if err != nil {
		return path, false, err
	}
	before, err := readBottle(path)
	if err != nil {
		return path, false, err
	}
	want := slices.DeleteFunc(slices.Clone(before.value.Egress.Allow), func(known string) bool { return known == entry })
	if allow {
		want = appendNew(before.value.Egress.Allow, []string{entry})
	}
	if slices.Equal(want, before.value.Egress.Allow) {
		return path, false, nil
	}
	text, err := withAllowed(path, data, want)
	if err != nil {
		return path, false, err
	}
	if err := checkSaved(path, data, text, want); err != nil {
		return path, false, err
	}
	return path, true, replaceFile(path, text, info)
}

// readOwn reads a file that is the user's, and no link to somebody else's.
func readOwn(path string) ([]byte, unix.Stat_t, error) {
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return nil, info, fmt.Errorf("save to %s: %w", path, err)
	}
	if info.Mode&unix.S_IFMT != unix.S_IFREG || int(info.Uid) != os.Geteuid() {
		return nil, info, fmt.Errorf("save to %s: it is not a file of your own, or a link: change it by hand: %w", path, errdefs.ErrFailedPrecondition)
	}
	data, err := readFile(path)
	return data, info, err
}

// withAllowed is the file with another list under egress.allow.
func withAllowed(path string, data []byte, want []string) ([]byte, error) {
	front, body, err := split(path, data)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(front, &document); err != nil {
		return nil, yamlError(path, err)
	}
	head := strings.TrimPrefix(string(front), "\n")
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		// Nothing but comments: they stay on top.
		document = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	} else {
		head = ""
	}
	list := child(child(document.Content[0], "egress", yaml.MappingNode), "allow", yaml.SequenceNode)
	list.Content = slices.DeleteFunc(list.Content, func(node *yaml.Node) bool { return !slices.Contains(want, node.Value) })
	for _, entry := range want {
		if !slices.ContainsFunc(list.Content, func(node *yaml.Node) bool { return node.Value == entry }) {
			node := &yaml.Node{}
			node.SetString(entry)
			list.Content = append(list.Content, node)
		}
	}
	if len(list.Content) == 0 {
		list.Style |= yaml.FlowStyle // an empty list is []
	}
	var text bytes.Buffer
	text.WriteString("---\n" + head)
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&document), encoder.Close()); err != nil {
		return nil, fmt.Errorf("encode %s: %w", path, err)
	}
	text.WriteString("---\n" + body)
	return text.Bytes(), nil
}

// child finds the value of a key, or makes it.
func child(parent *yaml.Node, key string, kind yaml.Kind) *yaml.Node {
	for i := 0; i+1 < len(parent.Content); i += 2 {
		if parent.Content[i].Value != key {
			continue
		}
		value := parent.Content[i+1]
		if value.Kind != kind { // a null
			*value = yaml.Node{Kind: kind, HeadComment: value.HeadComment, LineComment: value.LineComment, FootComment: value.FootComment}
		}
		return value
	}
	name := &yaml.Node{}
	name.SetString(key)
	parent.Content = append(parent.Content, name, &yaml.Node{Kind: kind})
	if len(parent.Content) == 2 {
		parent.Style &^= yaml.FlowStyle // it was {}
	}
	return parent.Content[len(parent.Content)-1]
}

// checkSaved reads what is to be written: it must say the same but for the list,
// and hold every comment.
func checkSaved(path string, old, text []byte, want []string) error {
	var before, after backend.BottleFile
	for data, into := range map[*[]byte]*backend.BottleFile{&old: &before, &text: &after} {
		front, _, err := split(path, *data)
		if err != nil {
			return err
		}
		if err := decodeBottle(path, front, into); err != nil {
			return err
		}
	}
	before.Egress.Allow = want
	if !sameBottle(before, after) || !slices.Equal(comments(path, old), comments(path, text)) {
		return fmt.Errorf("save to %s: it is written in a way that would lose something: change egress.allow by hand: %w", path, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func sameBottle(a, b backend.BottleFile) bool {
	textA, errA := yaml.Marshal(a)
	textB, errB := yaml.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(textA, textB) && reflect.DeepEqual(a.Recipe, b.Recipe) && reflect.DeepEqual(a.Dockerfile, b.Dockerfile) &&
		reflect.DeepEqual(a.Devcontainer, b.Devcontainer)
}

// comments are what follows a # at the start of a word, sorted.
func comments(path string, data []byte) []string {
	front, _, err := split(path, data)
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(front)) {
		if at := strings.Index(" "+line, " #"); at >= 0 {
			list = append(list, strings.TrimSpace(line[at:]))
		}
	}
	slices.Sort(list)
	return list
}

// replaceFile puts a new file in the place of one of the same mode, at once.
func replaceFile(path string, data []byte, info unix.Stat_t) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(os.FileMode(info.Mode&0o777)), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// LoadBottle reads a bottle file by itself, with all that it extends.
func LoadBottle(options Options, name string) (backend.BottleFile, error) {
	l := &loader{options: options}
	bottle, err := l.bottle(name)
	if err != nil {
		return bottle, err
	}
	return bottle, l.checkRules(bottle)
}
