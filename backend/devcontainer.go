package backend

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Devcontainer is what a bottle takes of a devcontainer.json beside the image: that stands
// where any bottle file has it. All but File is read when the bottle file is loaded.
type Devcontainer struct {
	File string `yaml:"devcontainer" json:"file,omitempty" jsonschema:"required,description=Path of a devcontainer.json or of the repository that has one: absolute or below ~/ or relative to the directory of this file."`
	// Env are literal values. A variable of the bottle file wins.
	Env map[string]string `yaml:"-" json:"-"`
	// Setup are the commands that run before claude does.
	Setup []SetupCommand `yaml:"-" json:"setup,omitempty"`
	// Ports are those of the bottle that are to be reached from the host.
	Ports []uint16 `yaml:"-" json:"forwardPorts,omitempty"`
	// Ignored is all else that the file says.
	Ignored []IgnoredKey `yaml:"-" json:"ignored,omitempty"`
}

// IgnoredKey is something that a devcontainer.json says and a bottle does not do.
type IgnoredKey struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// SetupTime bounds all setup commands of a bottle together.
const SetupTime = 30 * time.Minute

// SetupCommand is a command that runs once in a new bottle, before claude does.
type SetupCommand struct {
	// Name tells it from others of the same file; "" is the only one.
	Name string   `json:"name,omitempty"`
	Argv []string `json:"argv"`
}

// ShellCommand is the command that a shell makes of a text.
func ShellCommand(name, text string) SetupCommand {
	return SetupCommand{Name: name, Argv: []string{"/bin/sh", "-c", text}}
}

// Line is the command for people, on one line.
func (c SetupCommand) Line() string {
	var line string
	if len(c.Argv) == 3 && slices.Equal(c.Argv[:2], []string{"/bin/sh", "-c"}) {
		line = Printable(c.Argv[2])
	} else {
		words := make([]string, len(c.Argv))
		for i, word := range c.Argv {
			if words[i] = Printable(word); word == "" || words[i] == word && strings.ContainsRune(word, ' ') {
				words[i] = fmt.Sprintf("%q", word)
			}
		}
		line = strings.Join(words, " ")
	}
	if c.Name != "" {
		line = Printable(c.Name) + ": " + line
	}
	return line
}

// Outfits says that a plan's commands are to run: in a new bottle, once.
func (p *Plan) Outfits() bool { return len(p.Setup) > 0 && p.Resume == nil }

// Outfitter is a Bottle in which commands can be run before claude is.
type Outfitter interface {
	// Outfit runs a command in the workspace, with claude's own environment, and returns
	// its exit code. What it says goes to out: foreign text. The error is as ExecClaude's.
	Outfit(ctx context.Context, command SetupCommand, out io.Writer) (exitCode int, err error)
	// Outfitted says that all commands of the plan have ended well. Where the plan has some,
	// nothing of a bottle is kept that ends before.
	Outfitted(ctx context.Context) error
}

// printDevcontainer shows what of a plan comes from a devcontainer.json.
func (p *Plan) printDevcontainer(row func(string, string, ...any)) {
	when := "once, before claude, for " + SetupTime.String() + " at most"
	if p.Resume != nil {
		when = "not now: only a new bottle runs it"
	}
	for _, command := range p.Setup {
		row("runs", "%s (%s)", command.Line(), when)
	}
	if len(p.Ports) > 0 {
		row("ports", "%s, for `claude-bottle port-forward %s`", ports(p.Ports), Printable(p.Name))
	}
	for i, ignored := range p.Ignored {
		same := func(other IgnoredKey) bool { return other.Reason == ignored.Reason }
		if slices.ContainsFunc(p.Ignored[:i], same) {
			continue
		}
		var keys []string
		for _, other := range p.Ignored[i:] {
			if same(other) {
				keys = append(keys, Printable(other.Key))
			}
		}
		row("ignored", "%s of devcontainer.json: %s", strings.Join(keys, ", "), Printable(ignored.Reason))
	}
}

// devcontainerWords are those for the comparison of plans. What is ignored decides on
// nothing.
func (p *Plan) devcontainerWords(lines *planLines) {
	for _, command := range p.Setup {
		lines.add(strings.TrimSpace("setup command "+command.Name), "%s", plain(command.Argv))
	}
	if len(p.Ports) > 0 {
		lines.add("forwarded ports", "%s", ports(p.Ports))
	}
}
