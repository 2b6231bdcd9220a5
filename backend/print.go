package backend

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Printable makes foreign text safe to show on one line: anything but printable
// ASCII is quoted, so that no escape sequence, newline, bidi control or
// look-alike letter changes what the screen says.
func Printable(s string) string {
	quoted := strconv.QuoteToASCII(s)
	if inner := quoted[1 : len(quoted)-1]; inner == s {
		return s
	}
	return quoted
}

// Print writes the plan for people, as the preflight shows it.
func (p *Plan) Print(w io.Writer) error {
	var b strings.Builder
	row := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", key, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "Bottle %s: agent %s in bottle %s\n", Printable(p.Name), Printable(p.Agent), Printable(p.Bottle))
	for _, file := range p.Files {
		row("file", "%s %s (sha256:%s)", file.Kind, Printable(file.Path), short(file.SHA256))
	}
	p.printResume(row)
	p.printImage(row)
	proof := "proved by a probe sandbox"
	if !p.Runtime.Proved {
		proof = "unproved"
	}
	name := p.Runtime.Name
	if p.Runtime.Platform != "" {
		name += " (" + Printable(p.Runtime.Platform) + ")"
	}
	row("runtime", "%s, %s, %s: %s; %s", name, Printable(p.Runtime.Binary), Printable(p.Runtime.Version), proof, Printable(p.Runtime.Reason))
	user := "one unprivileged uid of its own, no capability"
	if p.User.Namespace {
		user += ", user namespace"
	}
	row("user", "%s", user)
	row("limits", "memory %s, cpus %s, processes %d, open files %d, /tmp %s", Bytes(p.Limits.MemoryBytes),
		strconv.FormatFloat(float64(p.Limits.CPUMillis)/1000, 'f', -1, 64), p.Limits.Processes, p.Limits.OpenFiles, Bytes(p.Limits.TmpBytes))
	for _, mount := range p.Mounts {
		mode := "rw"
		if mount.ReadOnly {
			mode = "ro"
		}
		row("mount", "%s %s %s: %s", mount.Destination, mount.Kind, mode, Printable(mount.From))
	}
	p.printInputs(row)
	p.printReach(row)
	quoted := make([]string, len(p.Command))
	for i, arg := range p.Command {
		quoted[i] = Printable(arg)
	}
	row("command", "%s", strings.Join(quoted, " "))
	p.printDevcontainer(row)
	p.Declaration.rows(row)
	if p.Detail != nil {
		row("backend", "%s", Printable(p.Detail.String()))
	}
	for _, warning := range p.Warnings {
		row("WARNING", "%s", Printable(warning))
	}
	row("plan", "%s", p.Digest())
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Plan) printImage(row func(string, string, ...any)) {
	state := Bytes(p.Image.Size) + ", present"
	if !p.Image.Present {
		state = "will be pulled"
	}
	if p.Image.Claude != "" {
		state += ", claude " + Printable(p.Image.Claude)
	}
	row("image", "%s (%s, %s)", Printable(p.Image.Pinned()), Printable(p.Image.Platform), state)
}

func (p *Plan) printInputs(row func(string, string, ...any)) {
	for _, input := range p.Inputs {
		note := ""
		if input.SHA256 != "" {
			note += ", sha256:" + short(input.SHA256)
		}
		if input.Note != "" {
			note += ", " + Printable(input.Note)
		}
		row("input", "%s %s: %d files, %s%s", input.Kind, Printable(input.Name), input.Files, Bytes(input.Bytes), note)
	}
	switch {
	case p.Workspace == nil:
	case p.Resume != nil:
		row("workspace", "as it was kept; it began as a copy of %s", Printable(p.Workspace.Path))
	default:
		p.Workspace.rows(row)
	}
}

func (p *Plan) printReach(row func(string, string, ...any)) {
	credential := "no credential: claude will say that it is not logged in"
	if name := p.Anthropic.Credential.Variable(); name != "" {
		credential = "credential from " + name + ", put on outside the bottle"
	}
	row("anthropic", "%s, %s", Printable(p.Anthropic.Upstream), credential)
	for _, tool := range p.Anthropic.ServerTools {
		row("anthropic", "server tool allowed: %s", Printable(tool))
	}
	p.printRoutes(row)
	if p.Ask != nil {
		row("hosts", "any other public host port %s: held until you answer, for %s at most (egress.mode ask)", ports(p.Ask.Ports), Printable(p.Ask.Timeout))
	} else if len(p.Egress) == 0 {
		row("hosts", "none")
	}
	for _, host := range p.Egress {
		private := ""
		if len(host.Private) > 0 {
			private = ", also at " + Printable(strings.Join(host.Private, ", "))
		}
		row("hosts", "%s port %s (%s)%s", Printable(host.Host), ports(host.Ports), Printable(host.Because), private)
	}
	p.printSSH(row)
	for _, variable := range p.Env {
		switch variable.Origin {
		case EnvForwarded:
			row("env", "%s forwarded from %s", Printable(variable.Name), Printable(variable.From))
		case EnvAsked:
			row("env", "%s asked: %s", Printable(variable.Name), Printable(variable.Prompt))
		case EnvLiteral:
			row("env", "%s set by the bottle file", Printable(variable.Name))
		case EnvDevcontainer:
			row("env", "%s set by devcontainer.json", Printable(variable.Name))
		}
	}
}

func ports(list []uint16) string {
	if len(list) == 0 {
		return "none yet"
	}
	words := make([]string, len(list))
	for i, port := range list {
		words[i] = strconv.Itoa(int(port))
	}
	return strings.Join(words, ", ")
}

func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// Bytes shows a size in binary units.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, exponent := float64(n)/unit, 0
	for value >= unit && exponent < 4 {
		value /= unit
		exponent++
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + "KMGTP"[exponent:exponent+1] + "iB"
}
