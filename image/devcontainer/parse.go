package devcontainer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/tailscale/hujson"
)

// most bounds the entries of a kind.
const most = 256

// reader translates one file.
type reader struct {
	document

	options Options
	file    File
	build   build
	// imageAt is where the image is named; nil while it is not.
	imageAt *hujson.Value
}

// parse is Read for what was read already.
func parse(path string, data []byte, options Options) (File, error) {
	opened, value, err := open(path, data)
	if err != nil {
		return File{}, err
	}
	if options.Refuses == nil {
		options.Refuses = func(string) string { return "" }
	}
	r := &reader{document: opened, options: options, file: File{Path: path, Data: data}}
	r.file.Devcontainer.File = path
	list, err := r.members(value, "")
	if err != nil {
		return File{}, err
	}
	for _, each := range list {
		if err := r.key(each); err != nil {
			return File{}, err
		}
	}
	if err := r.settle(); err != nil {
		return File{}, err
	}
	return r.file, nil
}

// key takes over what one key of the file says.
func (r *reader) key(each member) error {
	switch key, value := each.key, each.value; key {
	case "image":
		return r.image(value)
	case "build":
		return r.readBuild(value)
	case "dockerFile":
		return r.dockerfile(value, key)
	case "context":
		return r.context(value, key)
	case "containerEnv":
		return r.env(value)
	case "postCreateCommand":
		return r.commands(value, key)
	case "forwardPorts":
		return r.ports(value, key)
	case "remoteUser":
		return r.user(value, key)
	case "workspaceFolder":
		if text, err := r.text(value, key); err != nil || text == backend.WorkspacePath {
			return err
		}
		r.ignore(key, "the work is in "+backend.WorkspacePath)
	case "dockerComposeFile":
		return r.wrong(value, key, "a bottle is one container: name an image or a Dockerfile in a file of its own")
	default:
		r.ignore(key, whyIgnored(key))
	}
	return nil
}

// settle sees to it that exactly one thing says what the image is.
func (r *reader) settle() error {
	if r.build.file == "" {
		r.ignoreBuild()
	}
	const one = 1 // image, beside a Dockerfile
	for _, each := range []int{len(r.file.Devcontainer.Ignored) + one, len(r.file.Devcontainer.Env), len(r.file.Devcontainer.Setup), len(r.file.Devcontainer.Ports), len(r.build.args)} {
		if each > most {
			return fmt.Errorf("%s has more than %d entries of a kind: %w", r.path, most, errdefs.ErrInvalidArgument)
		}
	}
	if r.build.file != "" {
		if r.imageAt != nil {
			r.file.Image = ""
			r.ignore("image", "the image is made by the Dockerfile")
		}
		return r.resolve()
	}
	if r.imageAt == nil {
		return fmt.Errorf("%s names neither image nor build.dockerfile: name one of both: %w", r.path, errdefs.ErrInvalidArgument)
	}
	return nil
}

func (r *reader) ignore(key, reason string) {
	r.file.Devcontainer.Ignored = append(r.file.Devcontainer.Ignored, backend.IgnoredKey{Key: shortened(key), Reason: reason})
}

func (r *reader) image(value hujson.Value) error {
	text, err := r.whole(value, "image")
	if err != nil {
		return err
	}
	if text == "" {
		return r.wrong(value, "image", "it names nothing")
	}
	r.file.Image, r.imageAt = text, &value
	return nil
}

// env takes the variables. One that can't be had is ignored, and the rest holds.
func (r *reader) env(value hujson.Value) error {
	list, err := r.members(value, "containerEnv")
	if err != nil {
		return err
	}
	env := make(map[string]string, len(list))
	for _, each := range list {
		key := below("containerEnv", each.key)
		text, err := r.text(each.value, key)
		if err != nil {
			return err
		}
		filled, whole := fill(text)
		refusal := r.options.Refuses(each.key)
		switch {
		case refusal != "":
			r.ignore(key, refusal)
		case !whole:
			r.ignore(key, notFilled)
		default:
			env[each.key] = filled
		}
	}
	r.file.Devcontainer.Env = env
	return nil
}

// ports takes those of the bottle's own loopback.
func (r *reader) ports(value hujson.Value, key string) error {
	elements, err := r.elements(value, key)
	if err != nil {
		return err
	}
	for _, element := range elements {
		var number uint16
		switch element.Value.Kind() {
		case '0':
			literal := string(element.Value.(hujson.Literal))
			known, ok := port(literal)
			if !ok {
				return r.wrong(element, key, "%s is no port", shortened(literal))
			}
			number = known
		default:
			text, err := r.text(element, key)
			if err != nil {
				return err
			}
			rest, local := strings.CutPrefix(text, "localhost:")
			known, ok := port(rest)
			if !local || !ok {
				r.ignore(key+" "+text, "only ports of the bottle's own loopback can be reached: a number, or localhost:PORT")
				continue
			}
			number = known
		}
		if !slices.Contains(r.file.Devcontainer.Ports, number) {
			r.file.Devcontainer.Ports = append(r.file.Devcontainer.Ports, number)
		}
	}
	return nil
}

// agentUser is what the agent's user is called in every bottle.
const agentUser = "claude"

func (r *reader) user(value hujson.Value, key string) error {
	text, err := r.text(value, key)
	if err == nil && text != agentUser {
		r.ignore(key, "the agent is user "+agentUser+" with an unprivileged uid of its own, whatever users the image has")
	}
	return err
}
