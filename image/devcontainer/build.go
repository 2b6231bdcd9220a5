package devcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/tailscale/hujson"
)

// build is what the file says of a Dockerfile. Paths are as they stand there.
type build struct {
	file, context, target string
	args                  map[string]string
	fileAt, contextAt     hujson.Value
	// keys are those that mean nothing without a Dockerfile.
	keys []string
}

func (r *reader) readBuild(value hujson.Value) error {
	list, err := r.members(value, "build")
	if err != nil {
		return err
	}
	for _, each := range list {
		key := below("build", each.key)
		switch each.key {
		case "dockerfile":
			err = r.dockerfile(each.value, key)
		case "context":
			err = r.context(each.value, key)
		case "target":
			r.build.keys = append(r.build.keys, key)
			r.build.target, err = r.whole(each.value, key)
		case "args":
			r.build.keys = append(r.build.keys, key)
			err = r.arguments(each.value, key)
		default:
			r.ignore(key, whyIgnored(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) dockerfile(value hujson.Value, key string) error {
	text, err := r.whole(value, key)
	switch {
	case err != nil:
		return err
	case text == "":
		return r.wrong(value, key, "it names nothing")
	case r.build.file != "":
		return r.wrong(value, key, "the Dockerfile is named twice")
	}
	r.build.file, r.build.fileAt = text, value
	return nil
}

func (r *reader) context(value hujson.Value, key string) error {
	text, err := r.whole(value, key)
	switch {
	case err != nil:
		return err
	case r.build.context != "":
		return r.wrong(value, key, "the context is named twice")
	}
	r.build.context, r.build.contextAt = text, value
	r.build.keys = append(r.build.keys, key)
	return nil
}

// arguments takes values of ARG. One of the host is left to the Dockerfile's default.
func (r *reader) arguments(value hujson.Value, key string) error {
	list, err := r.members(value, key)
	if err != nil {
		return err
	}
	r.build.args = make(map[string]string, len(list))
	for _, each := range list {
		text, err := r.text(each.value, below(key, each.key))
		if err != nil {
			return err
		}
		filled, ok := fill(text)
		if !ok {
			r.ignore(below(key, each.key), notFilled)
			continue
		}
		r.build.args[each.key] = filled
	}
	return nil
}

// ignoreBuild says what is not done without a Dockerfile.
func (r *reader) ignoreBuild() {
	for _, key := range r.build.keys {
		r.ignore(key, "no Dockerfile is named")
	}
}

// resolve makes the paths absolute: they are relative to the file.
func (r *reader) resolve() error {
	root, err := filepath.EvalSymlinks(repository(r.path))
	if err != nil {
		return fmt.Errorf("%s: find its repository: %w", r.path, err)
	}
	file, err := r.within(root, r.build.file, r.build.fileAt, "the Dockerfile")
	if err != nil {
		return err
	}
	context, err := r.within(root, r.build.context, r.build.contextAt, "the context")
	if err != nil {
		return err
	}
	r.file.Dockerfile = &backend.Dockerfile{Within: root, File: file, Context: context, Target: r.build.target, Args: r.build.args}
	return nil
}

// within is where a path leads, which is nowhere outside the repository, whose root leads
// through no link: what lies there goes to BuildKit.
func (r *reader) within(root, path string, at hujson.Value, what string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.path), path)
	}
	named := repository(r.path)
	out := r.wrong(at, "", "%s leads out of %s: name it in the bottle file, as image: {dockerfile: …, context: …}, if it is to", what, named)
	if !inside(named, path) {
		return "", out
	}
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: there is no %s: %w", r.path, path, errdefs.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("%s: find %s: %w", r.path, what, err)
	}
	if !inside(root, resolved) {
		return "", out
	}
	return resolved, nil
}

func inside(root, path string) bool {
	relative, err := filepath.Rel(root, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}
