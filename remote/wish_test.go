package remote

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// wished is a wish with something of everything that a user can write.
func wished(t testing.TB) (backend.Spec, provision.Provisions) {
	t.Helper()
	values := map[string]string{"ANTHROPIC_API_KEY": "sk-secret-key", "TERM": "xterm", "HTTPS_PROXY": "http://proxy", "SECRET": "secret-value"}
	spec := backend.Spec{
		Manifest: &backend.Manifest{
			Agent: backend.AgentFile{Name: "genie", Model: "opus", Prompt: "secret-prompt", Skills: []string{"lamp"}},
			Bottle: backend.BottleFile{
				Name: "default", Extends: "base", Projects: []string{"/home/aladdin/secret-project"}, Image: "docker.io/library/lamp:1", Runtime: backend.RuntimeGVisor,
				Env:         map[string]string{"LITERAL": "secret-literal", "FORWARDED": "${SECRET}", "ASKED": "?say it"},
				Egress:      backend.Egress{Allow: []string{"example.com"}},
				Credentials: []backend.CredentialEntry{{Name: "forge", Upstream: "https://forge.example", Secret: "command:/bin/cat secret-file"}},
				SSH:         []backend.SSHEntry{{Host: "forge", IdentityFile: "~/.ssh/secret-key", Copy: true}},
				Resources:   backend.Resources{Memory: "1Gi"},
				Devcontainer: &backend.Devcontainer{
					File: "/home/aladdin/secret-devcontainer.json", Env: map[string]string{"FOREIGN": "secret-foreign", "LITERAL": "secret-other"},
					Setup: []backend.SetupCommand{backend.ShellCommand("", "make")}, Ports: []uint16{80}, Ignored: []backend.IgnoredKey{{Key: "mounts", Reason: "no"}},
				},
			},
			Files: []backend.ManifestFile{{Kind: "agent", Path: "/home/aladdin/secret-agent.md"}},
		},
		Home: "/home/aladdin/secret-home", Cwd: "/home/aladdin/secret-cwd", CopyCwd: true,
		Limits: backend.Limits{MemoryBytes: 1 << 30, CPUMillis: 1000, Processes: 64, OpenFiles: 1024, TmpBytes: 1 << 20},
		Lookup: func(name string) (string, bool) { value, ok := values[name]; return value, ok },
	}
	things := provision.Provisions{
		Inputs: []backend.Input{backend.NewInput(backend.Input{Kind: backend.InputPrompt, Name: "system prompt", From: "/secret-prompt", Place: backend.PlaceClaude, PromptPath: provision.PromptPath}, []byte("secret-prompt"))},
		SSH:    []backend.PlanSSH{backend.NewPlanSSH(backend.PlanSSH{Host: "forge", From: "/home/aladdin/.ssh/secret-key", Fingerprint: "SHA256:x", Copied: true}, []byte("secret-key"))},
	}
	return spec, things
}

func TestAWishNamesNothingOfTheHost(t *testing.T) {
	spec, things := wished(t)
	body, err := json.Marshal(newWish(spec, things))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "secret-") || strings.Contains(string(body), "aladdin") || strings.Contains(string(body), "proxy") {
		t.Errorf("the wish says %s", body)
	}
	wish, err := DecodeWish(body)
	if err != nil {
		t.Fatal(err)
	}
	if wish.Env["FORWARDED"] != "${SECRET}" || wish.Env["LITERAL"] != "" || len(wish.Credentials) != 1 || wish.Bottle.Egress.Allow[0] != "example.com" {
		t.Errorf("the wish is %+v", wish)
	}
	said := wish.Bottle.Devcontainer
	if _, named := wish.Env["FOREIGN"]; !named || len(said.Setup) != 1 || said.Ports[0] != 80 || said.Ignored[0].Key != "mounts" {
		t.Errorf("of the devcontainer.json it says %+v", said)
	}
	spec.Image, spec.Manifest.Bottle.Dockerfile = "other:1", &backend.Dockerfile{File: "/home/aladdin/Dockerfile"}
	if newWish(spec, things).Bottle.Builds() {
		t.Error("the wish has a Dockerfile that makes another image")
	}
}

// declares changes a wish for bottle lamp to one of that resource.
func declares(object string) func(*Wish) {
	return func(w *Wish) {
		w.Name, w.Declaration = "lamp", &backend.Declaration{Object: json.RawMessage(object)}
	}
}

const lampResource = `{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"lamp","labels":{"team":"web"}},"spec":{"agent":"genie","workspace":{"path":"/home/aladdin/lamp"},"restartPolicy":"OnFailure","ttlSecondsAfterFinished":60}}`

// TestAResourceIsWhatIsDeclared, whatever stands beside it.
func TestAResourceIsWhatIsDeclared(t *testing.T) {
	wish := newWish(wished(t))
	declares(lampResource)(&wish)
	wish.Declaration.Labels, wish.Declaration.Life.IdleTimeoutSeconds, wish.Declaration.Generation = map[string]string{"team": "root"}, 1, 3
	body, err := json.Marshal(wish)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeWish(body)
	if err != nil {
		t.Fatal(err)
	}
	declared := got.Declaration
	if declared.Labels["team"] != "web" || declared.Life.IdleTimeoutSeconds != 0 || declared.Life.Restart != backend.RestartOnFailure || *declared.Life.TTLSecondsAfterFinished != 60 || declared.Generation != 3 {
		t.Errorf("declared is %+v", declared)
	}
	if err := reachesNothing(&backend.Plan{Declaration: declared}); err != nil {
		t.Error(err)
	}
	wish.Name, wish.Resume, wish.Restart = "second", "lamp@00001", true
	if body, err = json.Marshal(wish); err == nil {
		_, err = DecodeWish(body)
	}
	if err != nil {
		t.Errorf("resumed by another name: %v", err)
	}
}

func TestAHostileWishIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Wish){
		"key by path":          func(w *Wish) { w.Bottle.SSH[0].IdentityFile = "/root/.ssh/id_ed25519" },
		"secret from a file":   func(w *Wish) { w.Bottle.Credentials[0].Secret = "file:/etc/shadow" },
		"secret of a command":  func(w *Wish) { w.Bottle.Credentials[0].Secret = "command:/bin/sh -c id" },
		"secret of a keyring":  func(w *Wish) { w.Bottle.Credentials[0].Secret = "keyring:root" },
		"secret of our env":    func(w *Wish) { w.Bottle.Credentials[0].Secret = "env:HOME" },
		"input by path":        func(w *Wish) { w.Inputs[0].From = "/etc/shadow" },
		"input nowhere":        func(w *Wish) { w.Inputs[0].Place = "../../etc" },
		"input of no kind":     func(w *Wish) { w.Inputs[0].Kind = "device" },
		"prompt elsewhere":     func(w *Wish) { w.Inputs[0].PromptPath = "/etc/shadow" },
		"recipe":               func(w *Wish) { w.Bottle.Recipe = &backend.Recipe{} },
		"dockerfile":           func(w *Wish) { w.Bottle.Dockerfile = &backend.Dockerfile{} },
		"devcontainer by path": func(w *Wish) { w.Bottle.Devcontainer.File = "/root/.devcontainer.json" },
		"command of nothing":   func(w *Wish) { w.Bottle.Devcontainer.Setup = make([]backend.SetupCommand, 1) },
		"command with a zero":  func(w *Wish) { w.Bottle.Devcontainer.Setup[0].Argv[2] = "a\x00b" },
		"many commands":        func(w *Wish) { w.Bottle.Devcontainer.Setup = make([]backend.SetupCommand, maxList+1) },
		"port of nothing":      func(w *Wish) { w.Bottle.Devcontainer.Ports = []uint16{0} },
		"projects":             func(w *Wish) { w.Bottle.Projects = []string{"/"} },
		"extends":              func(w *Wish) { w.Bottle.Extends = "../root" },
		"resources":            func(w *Wish) { w.Bottle.Resources.Memory = "1Ti" },
		"name that climbs":     func(w *Wish) { w.Name = "../x" },
		"agent that climbs":    func(w *Wish) { w.Agent = "a/b" },
		"bottle that climbs":   func(w *Wish) { w.Bottle.Name = ".." },
		"option for a model":   func(w *Wish) { w.Model = "--settings" },
		"runtime of its own":   func(w *Wish) { w.Runtime = "/tmp/runc" },
		"origin that climbs":   func(w *Wish) { w.From = &backend.Origin{Path: "/home/aladdin/../../root"} },
		"origin by an option":  func(w *Wish) { w.From = &backend.Origin{Path: "/p", Head: "--upload-pack=id"} },
		"no memory":            func(w *Wish) { w.Limits.MemoryBytes = 0 },
		"negative processes":   func(w *Wish) { w.Limits.Processes = -1 },
		"overflow":             func(w *Wish) { w.Limits.MemoryBytes = 1 << 62 },
		"literal":              func(w *Wish) { w.Env["LITERAL"] = "value" },
		"variable of ours":     func(w *Wish) { w.Variables["HTTPS_PROXY"] = "http://evil" },
		"credential of a kind": func(w *Wish) { w.Credentials = []backend.CredentialKind{"root"} },
		"zero byte":            func(w *Wish) { w.ClaudeArgs = []string{"a\x00b"} },
		"long arguments":       func(w *Wish) { w.ClaudeArgs = []string{strings.Repeat("a", maxArguments)} },
		"resource":             declares(`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","spec":{}}`),
		"resource of another":  declares(`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"other"},"spec":{"agent":"genie"}}`),
		"resource of a field":  declares(`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"lamp"},"spec":{"agent":"genie","mount":"/"}}`),
		"resource elsewhere":   declares(`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"lamp","namespace":"root"},"spec":{"agent":"genie"}}`),
		"resource of a pod":    declares(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"lamp"}}`),
		"resource of a list":   declares(`{"apiVersion":"v1","kind":"List","items":[]}`),
		"resource of millions": declares(`{"apiVersion":"claude-bottle.dev/v1alpha1","kind":"Bottle","metadata":{"name":"lamp"},"spec":{"agent":"genie","resources":{"limits":{"memory":"1e-2147483647"}}}}`),
		"later than never":     func(w *Wish) { w.Declaration = &backend.Declaration{Generation: -1} },
		"files of no hash":     func(w *Wish) { w.Files = "/etc/shadow" },
		"restart of nothing":   func(w *Wish) { w.Restart = true },
		"life before birth":    func(w *Wish) { w.Declaration = &backend.Declaration{Life: backend.Life{IdleTimeoutSeconds: -1}} },
		"restart":              func(w *Wish) { w.Declaration = &backend.Declaration{Life: backend.Life{Restart: "Sometimes"}} },
		"many inputs":          func(w *Wish) { w.Inputs = make([]backend.Input, maxList+1) },
	} {
		wish := newWish(wished(t))
		change(&wish)
		body, err := json.Marshal(wish)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeWish(body); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range []string{"", "[]", `{"namespace": "k8s.io"}`, `{"agent": "genie"} {}`, `{"workspace": {"path": "/"}}`} {
		if _, err := DecodeWish([]byte(body)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestAPlanThatReachesTheHostIsNotLaunched(t *testing.T) {
	if err := reachesNothing(&backend.Plan{Inputs: []backend.Input{{Name: "x"}}, SSH: []backend.PlanSSH{{Host: "x"}}, Routes: []backend.PlanRoute{{Name: "x", Source: ofClient}}}); err != nil {
		t.Error(err)
	}
	for name, plan := range map[string]backend.Plan{
		"working directory": {Workspace: &backend.WorkTree{Path: "/"}},
		"manifest files":    {Files: []backend.ManifestFile{{Path: "/etc/shadow"}}},
		"path of":           {Inputs: []backend.Input{{Name: "x", From: "/etc/shadow"}}},
		"SSH key":           {SSH: []backend.PlanSSH{{Host: "x", From: "/root/.ssh/id"}}},
		"an SSH key":        {SSH: []backend.PlanSSH{backend.NewPlanSSH(backend.PlanSSH{Host: "x"}, []byte("key"))}},
		"source of":         {Routes: []backend.PlanRoute{{Name: "x", Source: "command:/bin/id"}}},
		"no resource":       {Declaration: &backend.Declaration{Object: json.RawMessage(`{"workspace":{"path":"/"}}`)}},
	} {
		if err := reachesNothing(&plan); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsForRootIsRefused(t *testing.T) {
	quota := backend.Quota{Runtimes: []string{"gvisor"}}
	for name, change := range map[string]func(*Wish){
		"--allow-vulnerable-runc": func(w *Wish) { w.AllowVulnerableRunc = true },
		"debug":                   func(w *Wish) { w.Bottle.Debug = true },
		"users.NAME.runtimes":     func(w *Wish) { w.Runtime = backend.RuntimeRunc },
		"runc":                    func(w *Wish) { w.Bottle.Runtime = backend.RuntimeRunc },
	} {
		wish := newWish(wished(t))
		change(&wish)
		_, _, err := wish.spec(backend.HostFile{}, quota)
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wish := newWish(wished(t))
	spec, things, err := wish.spec(backend.HostFile{RequireRuntime: backend.RuntimeGVisor}, quota)
	if err != nil {
		t.Fatal(err)
	}
	if !spec.NoPull || spec.CopyCwd || spec.Cwd != "" || spec.Home != "" || spec.Manifest.Host.RequireRuntime != backend.RuntimeGVisor {
		t.Errorf("the spec is %+v", spec)
	}
	if len(things.SSH) != 1 || things.SSH[0].From != "" || things.Workspace != nil {
		t.Errorf("what goes in is %+v", things)
	}
	if value, ok := spec.Lookup("ANTHROPIC_API_KEY"); !ok || value != "set" {
		t.Errorf("the credential is %q", value)
	}
	if _, ok := spec.Lookup("HOME"); ok {
		t.Error("a variable of this process is looked up")
	}
}

func TestTheSumOfAUsersBottlesIsBounded(t *testing.T) {
	quota := backend.Quota{Bottles: 2, Limits: backend.Limits{MemoryBytes: 8 << 30, CPUMillis: 4000, Processes: 2048}}
	fits := backend.Limits{MemoryBytes: 8 << 30, CPUMillis: 4000, Processes: 2048}
	if err := within(quota, 2, fits); err != nil {
		t.Error(err)
	}
	for name, row := range map[string]struct {
		bottles int64
		sum     backend.Limits
	}{
		"users.NAME.bottles":   {3, fits},
		"users.NAME.memory":    {2, backend.Limits{MemoryBytes: 8<<30 + 1}},
		"users.NAME.cpus":      {2, backend.Limits{CPUMillis: 4001}},
		"users.NAME.processes": {2, backend.Limits{Processes: 2049}},
	} {
		err := within(quota, row.bottles, row.sum)
		if !errdefs.IsResourceExhausted(err) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), hostFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzWish: whatever a client sends, it is refused or it is a wish that names nothing of the
// host, and that can be planned.
func FuzzWish(f *testing.F) {
	body, err := json.Marshal(newWish(wished(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	with := newWish(wished(f))
	declares(lampResource)(&with)
	if body, err = json.Marshal(with); err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"agent":"a","bottle":{"name":"b"},"limits":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		wish, err := DecodeWish(body)
		if err != nil {
			return
		}
		spec, things, err := wish.spec(backend.HostFile{}, backend.Quota{Runtimes: []string{"gvisor"}})
		if err != nil {
			return
		}
		if spec.CopyCwd || spec.Resume != nil || !spec.NoPull {
			t.Fatalf("the spec is %+v", spec)
		}
		plan := backend.Plan{Inputs: things.Inputs, SSH: things.SSH, Workspace: things.Workspace, Declaration: spec.Declaration}
		for range spec.Manifest.Bottle.Credentials {
			plan.Routes = append(plan.Routes, backend.PlanRoute{Source: ofClient})
		}
		for _, entry := range spec.Manifest.Bottle.Credentials {
			if entry.Secret != ofClient {
				t.Fatalf("a secret comes from %q", entry.Secret)
			}
		}
		if err := reachesNothing(&plan); err != nil {
			t.Fatal(err)
		}
		if _, err := provision.Environment(spec, backend.CredentialNone); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Fatal(err)
		}
	})
}
