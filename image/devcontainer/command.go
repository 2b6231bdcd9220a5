package devcontainer

import (
	"cmp"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/tailscale/hujson"
)

// commands takes a text for a shell, a list of words, or several of these by their names:
// those run one after the other, in the order of the names.
func (r *reader) commands(value hujson.Value, key string) error {
	if value.Value.Kind() != '{' {
		return r.command(value, key, "")
	}
	list, err := r.members(value, key)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	for _, each := range list {
		if err := r.command(each.value, below(key, each.key), each.key); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) command(value hujson.Value, key, name string) error {
	var words []string
	var err error
	shell := value.Value.Kind() != '['
	if shell {
		words = make([]string, 1)
		words[0], err = r.text(value, key)
	} else {
		words, err = r.texts(value, key)
	}
	if err != nil {
		return err
	}
	for i, word := range words {
		filled, whole := fillCommand(word)
		if !whole {
			r.ignore(key, notFilled)
			return nil
		}
		words[i] = filled
	}
	name = shortened(name)
	command := backend.SetupCommand{Name: name, Argv: words}
	switch {
	case len(words) == 0 || shell && words[0] == "":
		return nil
	case words[0] == "":
		return r.wrong(value, key, "the command has no name")
	case shell:
		command = backend.ShellCommand(name, words[0])
	}
	r.file.Devcontainer.Setup = append(r.file.Devcontainer.Setup, command)
	return nil
}
