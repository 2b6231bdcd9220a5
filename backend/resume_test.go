package backend

import (
	"strings"
	"testing"
)

// whole is a plan with something in each of its parts.
func whole() *Plan {
	return &Plan{
		Version: PlanVersion, Name: "demo", Agent: "genie", Bottle: "default",
		Files:   []ManifestFile{{Kind: "bottle", Path: "/b.md", SHA256: "1"}},
		Image:   PlanImage{Reference: "i", Digest: "sha256:1", Platform: "linux/amd64"},
		Runtime: PlanRuntime{Name: "gvisor", Version: "1", Binary: "/runsc", Platform: "systrap"},
		Inputs:  []Input{{Kind: InputSkill, Name: "lamp", Files: 1, SHA256: "1"}},
		Mounts:  []PlanMount{{Destination: "/workspace", Kind: "bind"}},
		Env:     []EnvVariable{{Name: "A", Origin: EnvForwarded, From: "A"}},
		Egress:  []PlanHost{{Host: "a.example", Ports: []uint16{443}, Because: "egress.allow"}},
		SSH:     []PlanSSH{{Host: "git"}}, Ask: &PlanAsk{Timeout: "1m"},
		Anthropic: PlanAnthropic{Upstream: "https://a", ServerTools: []string{"web_search"}},
		Routes:    []PlanRoute{{Name: "github"}}, DLP: DLPWarn,
		Limits: Limits{MemoryBytes: 1, CPUMillis: 1, Processes: 1, OpenFiles: 1, TmpBytes: 1}, Command: []string{"claude", "--continue"},
	}
}

func TestThePlanOfAResumedBottleIsTheSame(t *testing.T) {
	later := whole()
	later.Command, later.Warnings, later.Image.Present, later.Runtime.Reason = []string{"claude", "--resume", "1"}, []string{"w"}, true, "asked for"
	later.Resume, later.Declaration = &PlanResume{}, &Declaration{Labels: map[string]string{"a": "b"}}
	if changes := PlanChanges(whole(), later); len(changes) != 0 {
		t.Errorf("changes are %v", changes)
	}
}

func TestEachChangeOfAPlanIsSaid(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"agent was genie, is x":                              func(p *Plan) { p.Agent = "x" },
		"bottle was default, is x":                           func(p *Plan) { p.Bottle = "x" },
		"bottle file /b.md was sha256:1, is sha256:2":        func(p *Plan) { p.Files[0].SHA256 = "2" },
		"image was i@sha256:1, is i@sha256:2":                func(p *Plan) { p.Image.Digest = "sha256:2" },
		"platform was linux/amd64, is x":                     func(p *Plan) { p.Image.Platform = "x" },
		"runtime was gvisor 1, /runsc, is runc 1, /runsc":    func(p *Plan) { p.Runtime.Name = "runc" },
		"runtime platform was systrap, is kvm":               func(p *Plan) { p.Runtime.Platform = "kvm" },
		"user namespace was false, is true":                  func(p *Plan) { p.User.Namespace = true },
		"skill lamp was":                                     func(p *Plan) { p.Inputs[0].SHA256 = "2" },
		"mount /workspace was bind, read-only false, is bin": func(p *Plan) { p.Mounts[0].ReadOnly = true },
		"env A is gone: forwarded A":                         func(p *Plan) { p.Env = nil },
		"env B is new: asked why?":                           func(p *Plan) { p.Env = append(p.Env, EnvVariable{Name: "B", Origin: EnvAsked, Prompt: "why?"}) },
		"host b.example 443 is new: egress.allow": func(p *Plan) {
			p.Egress = append(p.Egress, PlanHost{Host: "b.example", Ports: []uint16{443}, Because: "egress.allow"})
		},
		"host a.example 443 is gone":                   func(p *Plan) { p.Egress[0].Ports = []uint16{443, 22} },
		"ssh git is gone":                              func(p *Plan) { p.SSH = nil },
		"other hosts is gone":                          func(p *Plan) { p.Ask = nil },
		"API was https://a, credential , is https://b": func(p *Plan) { p.Anthropic.Upstream = "https://b" },
		"server tool web_search is gone: allowed":      func(p *Plan) { p.Anthropic.ServerTools = nil },
		"credential github was":                        func(p *Plan) { p.Routes[0].Upstream = "x" },
		"dlp was warn, is block":                       func(p *Plan) { p.DLP = DLPBlock },
		"memory was 1 B, is 2 B":                       func(p *Plan) { p.Limits.MemoryBytes = 2 },
		"cpus was 0.001, is 0.002":                     func(p *Plan) { p.Limits.CPUMillis = 2 },
		"processes was 1, is 2":                        func(p *Plan) { p.Limits.Processes = 2 },
		"open files was 1, is 2":                       func(p *Plan) { p.Limits.OpenFiles = 2 },
		"/tmp was 1 B, is 2 B":                         func(p *Plan) { p.Limits.TmpBytes = 2 },
		"command was claude, is claude -p":             func(p *Plan) { p.Command = []string{"claude", "-p"} },
		"remote control was false, is true":            func(p *Plan) { p.RemoteControl = true },
		"debug was false, is true":                     func(p *Plan) { p.Debug = true },
		"raw terminal was false, is true":              func(p *Plan) { p.RawTerminal = true },
		"discard was false, is true":                   func(p *Plan) { p.Discard = true },
		"life is new: ends after 1m0s":                 func(p *Plan) { p.Declaration = &Declaration{Life: Life{ActiveDeadlineSeconds: 60}} },
	} {
		later := whole()
		change(later)
		changes := PlanChanges(whole(), later)
		if len(changes) == 0 || !strings.HasPrefix(changes[0].String(), want) {
			t.Errorf("want %q, changes are %v", want, changes)
		}
	}
}

func TestT45_ThePreflightOfAResumeShowsForeignTextAsText(t *testing.T) {
	plan := whole()
	plan.Resume = &PlanResume{Handle: "demo@00001", Known: true, Changes: []PlanChange{{"env \x1b[2J", "", "literal"}}}
	var shown strings.Builder
	if err := plan.Print(&shown); err != nil || strings.Contains(shown.String(), "\x1b") || !strings.Contains(shown.String(), "CHANGED") {
		t.Errorf("it shows %q, %v", shown.String(), err)
	}
}

func TestWhatAUserHasToldClaudeIsToldAgain(t *testing.T) {
	for _, test := range []struct {
		command, want, model string
		remote               bool
	}{
		{command: "claude", want: ""},
		{command: "claude -p hello", want: "-p hello"},
		{command: "claude --model opus --resume 1 -p hello", want: "-p hello", model: "sonnet"},
		{command: "claude --model opus -p", want: "--model opus -p"},
		{command: "claude --model opus --remote-control --model haiku", want: "--model haiku", model: "opus", remote: true},
		{command: "claude -c -p -- --resume 1 -c", want: "-p -- --resume 1 -c"},
		{command: "claude --session-id 1 -r --resume=2 --session-id=3 x", want: "x"},
	} {
		plan := &Plan{Command: strings.Fields(test.command), RemoteControl: test.remote}
		if got := strings.Join(plan.ClaudeArguments(test.model), " "); got != test.want {
			t.Errorf("of %q is told %q, want %q", test.command, got, test.want)
		}
	}
}

func TestTheTerminalThatABottleIsStartedFromIsNoPartOfIt(t *testing.T) {
	later := whole()
	later.Env = append(later.Env, NewEnv("TERM", EnvBuiltIn, "xterm"), NewEnv("COLORTERM", EnvBuiltIn, "truecolor"))
	if changes := PlanChanges(whole(), later); len(changes) != 0 {
		t.Errorf("changes are %v", changes)
	}
}
