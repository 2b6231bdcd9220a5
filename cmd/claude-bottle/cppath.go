package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// copyPath is one end of a copy: standard input or output, a path of the host, or
// one of a bottle.
type copyPath struct {
	stream bool
	bottle string // name or handle; "" is the host
	// path is clean; an absolute one in a bottle.
	path string
	// content says that what a directory holds is meant.
	content bool
	// slash says that it must be a directory.
	slash bool
}

// parseCopyPath reads an argument as docker and scp do: NAME:PATH, unless a slash or
// a dot says that it is a path of the host.
func parseCopyPath(text string) (copyPath, error) {
	if text == "" {
		return copyPath{}, usageError{errors.New("an empty path can't be copied")}
	}
	if text == "-" {
		return copyPath{stream: true}, nil
	}
	name, inside, ok := strings.Cut(text, ":")
	if !ok || strings.HasPrefix(text, ".") || strings.Contains(name, "/") {
		return cleanPath("", text), nil
	}
	base, suffix, kept := strings.Cut(name, "@")
	err := backend.ValidateName("bottle", base)
	if err == nil && kept && suffix == "" {
		err = errors.New("nothing follows the @")
	}
	if err != nil {
		return copyPath{}, usageError{fmt.Errorf("%s: %w; a file of the host whose name has a colon is written ./NAME", backend.Printable(text), err)}
	}
	if inside == "" {
		inside = "."
	}
	if !path.IsAbs(inside) {
		inside = backend.WorkspacePath + "/" + inside
	}
	return cleanPath(name, inside), nil
}

// cleanPath keeps what the end of a path says beside the path.
func cleanPath(bottle, text string) copyPath {
	last := text[strings.LastIndexByte(text, '/')+1:]
	return copyPath{bottle: bottle, path: path.Clean(text), content: last == "." || path.Clean(text) == "/", slash: last == ""}
}

// given is the path with the slash that it must have been given with.
func (p copyPath) given() string {
	if p.slash && p.path != "/" {
		return p.path + "/"
	}
	return p.path
}

// name is what the copy is called in a directory; "" is what the source holds.
func (p copyPath) name() (string, error) {
	if p.content {
		return "", nil
	}
	full := p.path
	if p.bottle == "" {
		var err error
		if full, err = filepath.Abs(p.path); err != nil { // the name of ".."
			return "", fmt.Errorf("find %s: %w", p.path, err)
		}
	}
	if full == "/" {
		return "", nil
	}
	return path.Base(full), nil
}

// String implements fmt.Stringer.
func (p copyPath) String() string {
	switch {
	case p.stream:
		return "-"
	case p.bottle != "":
		return p.bottle + ":" + p.path
	default:
		return p.path
	}
}

// copyEnds reads both arguments: one of them is a bottle's.
func copyEnds(from, to string) (source, destination copyPath, err error) {
	if source, err = parseCopyPath(from); err != nil {
		return source, destination, err
	}
	if destination, err = parseCopyPath(to); err != nil {
		return source, destination, err
	}
	switch {
	case source.bottle == "" && destination.bottle == "":
		err = usageError{errors.New("neither end is in a bottle: write NAME:PATH for the one that is")}
	case source.bottle != "" && destination.bottle != "":
		err = usageError{fmt.Errorf("both ends are in bottles: pass it on, claude-bottle cp %s - | claude-bottle cp - %s",
			backend.Printable(from), backend.Printable(to))}
	}
	return source, destination, err
}
