package backend

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// PlanResume says that a plan goes on with a kept bottle instead of beginning one.
type PlanResume struct {
	// ID is the kept bottle's, Handle what its user calls it.
	ID     ID     `json:"id"`
	Handle string `json:"handle"`
	// Continue says that a conversation is there, which claude goes on with.
	Continue bool `json:"continue"`
	// Known says that the plan it was launched with could be read; Changes are
	// where this one differs from it.
	Known   bool         `json:"known"`
	Changes []PlanChange `json:"changes"`
}

// PlanChange is one thing in which two plans differ, in words. What one of them
// doesn't have is "".
type PlanChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// String implements fmt.Stringer.
func (c PlanChange) String() string {
	switch {
	case c.Before == "":
		return fmt.Sprintf("%s is new: %s", Printable(c.Field), Printable(c.After))
	case c.After == "":
		return fmt.Sprintf("%s is gone: %s", Printable(c.Field), Printable(c.Before))
	default:
		return fmt.Sprintf("%s was %s, is %s", Printable(c.Field), Printable(c.Before), Printable(c.After))
	}
}

// PlanChanges says in what a later plan of a bottle differs from an earlier one:
// all that decides what the bottle is and may do. Where the workspace came from,
// warnings and the backend's own part are left out.
func PlanChanges(before, after *Plan) []PlanChange {
	was, is := before.words(), after.words()
	changes := []PlanChange{}
	for _, line := range was {
		if now := is.text(line.field); now != line.text {
			changes = append(changes, PlanChange{line.field, line.text, now})
		}
	}
	for _, line := range is {
		if was.text(line.field) == "" && line.text != "" {
			changes = append(changes, PlanChange{line.field, "", line.text})
		}
	}
	return changes
}

// planLines are what a plan says, thing by thing.
type planLines []struct{ field, text string }

func (l planLines) text(field string) string {
	for _, line := range l {
		if line.field == field {
			return line.text
		}
	}
	return ""
}

func (l *planLines) add(field, format string, args ...any) {
	*l = append(*l, struct{ field, text string }{field, fmt.Sprintf(format, args...)})
}

func (p *Plan) words() planLines {
	var lines planLines
	lines.add("agent", "%s", p.Agent)
	lines.add("bottle", "%s", p.Bottle)
	for _, file := range p.Files {
		lines.add(file.Kind+" file "+file.Path, "sha256:%s", short(file.SHA256))
	}
	lines.add("image", "%s", p.Image.Pinned())
	lines.add("platform", "%s", p.Image.Platform)
	lines.add("runtime", "%s %s, %s", p.Runtime.Name, p.Runtime.Version, p.Runtime.Binary)
	if p.Runtime.Platform != "" {
		lines.add("runtime platform", "%s", p.Runtime.Platform)
	}
	lines.add("user namespace", "%t", p.User.Namespace)
	for _, input := range p.Inputs {
		lines.add(fmt.Sprintf("%s %s", input.Kind, input.Name), "%d files, %s, sha256:%s", input.Files, Bytes(input.Bytes), short(input.SHA256))
	}
	for _, variable := range p.Env {
		if variable.Origin == EnvBuiltIn && (variable.Name == "TERM" || variable.Name == "COLORTERM") {
			continue // the terminal's that it is started from
		}
		lines.add("env "+variable.Name, "%s %s%s", variable.Origin, variable.From, variable.Prompt)
	}
	p.reachWords(&lines)
	lines.add("memory", "%s", Bytes(p.Limits.MemoryBytes))
	lines.add("cpus", "%s", strconv.FormatFloat(float64(p.Limits.CPUMillis)/1000, 'f', -1, 64))
	lines.add("processes", "%d", p.Limits.Processes)
	lines.add("open files", "%d", p.Limits.OpenFiles)
	lines.add("/tmp", "%s", Bytes(p.Limits.TmpBytes))
	lines.add("command", "%s", strings.Join(withoutConversation(p.Command), " "))
	p.devcontainerWords(&lines)
	lines.add("remote control", "%t", p.RemoteControl)
	lines.add("debug", "%t", p.Debug)
	lines.add("raw terminal", "%t", p.RawTerminal)
	lines.add("discard", "%t", p.Discard)
	if p.Declaration != nil && p.Declaration.Life.Words() != "" {
		lines.add("life", "%s", p.Declaration.Life.Words())
	}
	return lines
}

// ContinueFlag has claude go on with its last conversation, ResumeFlag with the one
// whose id follows.
const (
	ContinueFlag = "--continue"
	ResumeFlag   = "--resume"
)

// withoutConversation leaves out of a command which conversation goes on. What follows
// -- is text.
func withoutConversation(command []string) []string {
	var rest []string
	for i := 0; i < len(command); i++ {
		switch argument := command[i]; {
		case argument == "--":
			return append(rest, command[i:]...)
		case argument == ContinueFlag, argument == "-c":
		case argument == ResumeFlag, argument == "-r", argument == "--session-id":
			if i+1 < len(command) && !strings.HasPrefix(command[i+1], "-") {
				i++ // which one
			}
		case strings.HasPrefix(argument, ResumeFlag+"="), strings.HasPrefix(argument, "--session-id="):
		default:
			rest = append(rest, argument)
		}
	}
	return rest
}

// ClaudeArguments are what a user has added to claude's command line, without which
// conversation goes on. Model is that of the agent's file, "" for none.
func (p *Plan) ClaudeArguments(model string) []string {
	rest := withoutConversation(p.Command)
	if len(rest) > 0 {
		rest = rest[1:]
	}
	if model != "" && len(rest) > 1 && rest[0] == "--model" {
		rest = rest[2:]
	}
	if p.RemoteControl && len(rest) > 0 && rest[0] == "--remote-control" {
		rest = rest[1:]
	}
	return rest
}

func (p *Plan) reachWords(lines *planLines) {
	lines.add("API", "%s, credential %s", p.Anthropic.Upstream, p.Anthropic.Credential)
	for _, tool := range p.Anthropic.ServerTools {
		lines.add("server tool "+tool, "allowed")
	}
	for _, host := range p.Egress {
		lines.add("host "+host.Host+" "+ports(host.Ports), "%s %s", host.Because, strings.Join(host.Private, ", "))
	}
	if p.Ask != nil {
		lines.add("other hosts", "%s", plain(p.Ask))
	}
	for _, route := range p.Routes {
		lines.add("credential "+route.Name, "%s", plain(route))
	}
	for _, entry := range p.SSH {
		lines.add("ssh "+entry.Host, "%s", plain(entry))
	}
	if p.DLP != "" {
		lines.add("dlp", "%s", p.DLP)
	}
	for _, mount := range p.Mounts {
		lines.add("mount "+mount.Destination, "%s, read-only %t", mount.Kind, mount.ReadOnly)
	}
}

// plain shows data that has no words of its own.
func plain(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("marshal part of plan: %v", err)) // plain data only
	}
	return string(data)
}

func (p *Plan) printResume(row func(string, string, ...any)) {
	if p.Resume == nil {
		return
	}
	conversation := "no conversation is kept, claude begins a new one"
	if p.Resume.Continue {
		conversation = "claude goes on with its conversation"
	}
	row("resume", "%s, with its workspace and home; %s", Printable(p.Resume.Handle), conversation)
	switch {
	case !p.Resume.Known:
		row("resume", "the plan that it was launched with can't be read: compare what follows yourself")
	case len(p.Resume.Changes) == 0:
		row("resume", "same plan as before")
	}
	for _, change := range p.Resume.Changes {
		row("CHANGED", "%s", change)
	}
}
