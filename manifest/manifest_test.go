package manifest_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
)

// user has a home and a repository in which files can be written.
type user struct {
	*testing.T
	options manifest.Options
}

func newUser(t *testing.T) *user {
	dir := t.TempDir()
	return &user{t, manifest.Options{
		Home: filepath.Join(dir, "home"), Cwd: filepath.Join(dir, "repository"), HostFile: filepath.Join(dir, "etc", "config.yaml"),
		CheckEgress:      func(wish backend.Egress) error { _, err := egress.Rules(wish); return err },
		CheckCredentials: func(entries []backend.CredentialEntry) error { _, err := egress.ParseRoutes(entries); return err },
	}}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func (u *user) agent(name, front, prompt string) {
	write(u.T, filepath.Join(u.options.Home, ".claude-bottle/agents", name+".md"), "---\n"+front+"\n---\n"+prompt)
}

func (u *user) bottle(name, front string) {
	write(u.T, filepath.Join(u.options.Home, ".claude-bottle/bottles", name+".md"), "---\n"+front+"\n---\n")
}

func (u *user) project(name, front string) string {
	path := filepath.Join(u.options.Cwd, ".claude-bottle/agents", name+".md")
	write(u.T, path, "---\n"+front+"\n---\nDo as the repository says.\n")
	return path
}

func (u *user) load(agent string) (*backend.Manifest, error) { return manifest.Load(u.options, agent) }

func (u *user) mustLoad(agent string) *backend.Manifest {
	u.Helper()
	loaded, err := u.load(agent)
	if err != nil {
		u.Fatal(err)
	}
	return loaded
}

func TestAgentAndBottleAreReadWhole(t *testing.T) {
	u := newUser(t)
	u.agent("genie", "description: grants wishes\nbottle: lamp\nskills: [polish, rub]\nmodel: opus", "\nYou live in a lamp.\n\nBe kind.\n")
	u.bottle("lamp", `image: registry.example/lamp@sha256:`+strings.Repeat("a", 64)+`
runtime: gvisor
projects: [~/lamp]
debug: true
env: {EDITOR: vi, TOKEN: "${TOKEN}", PIN: "?PIN"}
egress: {allow: [example.com, "*.example.org:8443"]}
anthropic: {serverTools: [web_search]}
ssh:
- host: git.example.com
  user: git
  identityFile: ~/.ssh/deploy
resources: {memory: 2Gi, cpus: "1.5", processes: 100, openFiles: 1000, tmp: 64Mi}`)
	loaded := u.mustLoad("genie")
	if got := loaded.Agent; got.Name != "genie" || got.Bottle != "lamp" || got.Model != "opus" || got.Prompt != "You live in a lamp.\n\nBe kind." || len(got.Skills) != 2 {
		t.Errorf("agent is %+v", got)
	}
	b := loaded.Bottle
	if b.Name != "lamp" || b.Runtime != "gvisor" || !b.Debug || b.Env["TOKEN"] != "${TOKEN}" || b.SSH[0].User != "git" || len(b.Egress.Allow) != 2 || b.Anthropic.ServerTools[0] != "web_search" {
		t.Errorf("bottle is %+v", b)
	}
	limits, err := manifest.Limits(b.Resources)
	if want := (backend.Limits{MemoryBytes: 2 << 30, CPUMillis: 1500, Processes: 100, OpenFiles: 1000, TmpBytes: 64 << 20}); err != nil || limits != want {
		t.Errorf("limits are %+v, %v", limits, err)
	}
	if len(loaded.Files) != 2 || loaded.FromProject {
		t.Errorf("files are %+v", loaded.Files)
	}
}

func TestMistakesNameFileAndLine(t *testing.T) {
	for name, test := range map[string]struct{ front, want string }{
		"unknown key":         {"image: x\negres: {}", "bottles/b.md:3: unknown key egres: did you mean egress?"},
		"unknown nested key":  {"egress:\n  alow: []", "bottles/b.md:3: unknown key alow: did you mean allow?"},
		"nothing near":        {"zzzzzzzz: 1", "bottles/b.md:2: unknown key zzzzzzzz: known are anthropic, credentials, debug, dlp, egress"},
		"mounts":              {"mounts: [/]", "bottles/b.md:2: unknown key mounts"},
		"network":             {"network: host", "bottles/b.md:2: unknown key network"},
		"annotation":          {"annotations: {dev.gvisor.flag.host-uds: all}", "bottles/b.md:2: unknown key annotations"},
		"gVisor flag":         {"dev.gvisor.flag.net-raw: true", "bottles/b.md:2: unknown key dev.gvisor.flag.net-raw"},
		"containerd label":    {"containerd.io/restart.status: running", "bottles/b.md:2: unknown key containerd.io/restart.status"},
		"twice":               {"image: x\nimage: y", "bottles/b.md:3: key image stands there twice"},
		"twice in env":        {"env:\n  A: 1\n  A: 2", "bottles/b.md:"},
		"list for a value":    {"image: [x]", "bottles/b.md:2: one value is expected here"},
		"value for a list":    {"egress:\n  allow: example.com", "bottles/b.md:3: a list is expected here"},
		"value for keys":      {"egress: example.com", "bottles/b.md:2: keys and values are expected here"},
		"number expected":     {"resources:\n  processes: many", "bottles/b.md:3:"},
		"anchor":              {"env: &a {X: y}", "bottles/b.md:2: anchors and aliases are not understood"},
		"no YAML":             {"image: [", "bottles/b.md:"},
		"tab":                 {"env:\n\tA: b", "bottles/b.md:3:"},
		"runtime":             {"runtime: docker", `bottles/b.md: runtime "docker": auto, gvisor or runc`},
		"memory":              {"resources: {memory: lots}", `resources.memory: "lots": give a size`},
		"too little memory":   {"resources: {memory: 1Mi}", `resources.memory: "1Mi" is less than`},
		"processor":           {"resources: {cpus: NaN}", "resources.cpus"},
		"negative":            {"resources: {processes: -1}", "resources.processes: -1 is not between"},
		"host":                {"egress: {allow: [10.0.0.1]}", `bottle b: egress.allow: "10.0.0.1"`},
		"credential":          {"credentials: [{name: forge, upstream: http://forge.example, secret: \"env:T\"}]", "bottle b: credentials: forge: upstream"},
		"dlp":                 {"dlp: strict", `bottles/b.md: dlp "strict": warn or block`},
		"secret as it is":     {"credentials: [{name: github, token: x}]", "bottles/b.md:2: unknown key token"},
		"extends itself":      {"extends: b", "extends itself"},
		"extends nothing":     {"extends: bb", "bottle bb: there is no"},
		"extends by path":     {"extends: ../../x", "../../x"},
		"control in a key":    {`"a\u001b[2Jb": 1`, `bottles/b.md:2: unknown key`},
		"two documents":       {"image: x\n---\nimage: y", "bottles/b.md"},
		"bidi in a host name": {"egress: {allow: [\"exa\u202emple.com\"]}", "is not a host name"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.agent("a", "bottle: b", "")
			u.bottle("b", test.front)
			loaded, err := u.load("a")
			if name == "two documents" {
				// The second `---` ends the front matter; the rest is for people.
				if err != nil || loaded.Bottle.Image != "x" {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if !errdefs.IsInvalidArgument(err) && !errdefs.IsNotFound(err) {
				t.Errorf("%v is of no kind", err)
			}
			for _, r := range err.Error() {
				if r < ' ' || r > '~' {
					t.Errorf("T25: %q is not printable ASCII", err)
				}
			}
		})
	}
}

func TestFilesThatAreNoManifest(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "no front matter": "Just a prompt.\n", "not ended": "---\nbottle: default\n", "large": "---\n---\n" + strings.Repeat("x", 2<<20),
	} {
		u := newUser(t)
		path := filepath.Join(u.options.Home, ".claude-bottle/agents/a.md")
		write(t, path, content)
		if _, err := u.load("a"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	u := newUser(t)
	path := filepath.Join(u.options.Home, ".claude-bottle/agents/a.md")
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := u.load("a"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("directory: %v", err)
	}
}

func TestT47_HostileNamesAreRefused(t *testing.T) {
	u := newUser(t)
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", "/etc/passwd", "-rf", "--yes", "a b", "A", "Ünicode", "a\x00b", "a\nb", "a\x1b[2J", "a\u202eb", "а",
		strings.Repeat("a", 41), strings.Repeat("a", 200), "a@b", "a.b", "a_b", "a:b", "~", "$HOME", "`id`", "a-", "con\u0000",
	} {
		if _, err := u.load(name); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNearestNameIsOffered(t *testing.T) {
	u := newUser(t)
	if _, err := u.load("genie"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "claude-bottle init") {
		t.Errorf("with no agent at all: %v", err)
	}
	u.agent("genie", "", "")
	if _, err := u.load("gennie"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "did you mean genie?") {
		t.Errorf("got %v", err)
	}
	if _, err := u.load("completely-else"); !strings.Contains(err.Error(), "claude-bottle list available") {
		t.Errorf("got %v", err)
	}
}

func TestExtendsComposes(t *testing.T) {
	u := newUser(t)
	u.agent("a", "bottle: top", "")
	u.bottle("top", "extends: middle\nenv: {A: top}\negress: {allow: [top.example]}\nresources: {memory: 1Gi}\nssh: [{host: git.example, user: top}]\n"+
		"credentials: [{name: forge, upstream: \"https://top.example\", secret: \"env:TOP\"}]")
	u.bottle("middle", "extends: base\nenv: {B: middle}\negress: {allow: [base.example, middle.example]}\nruntime: runc")
	u.bottle("base", "env: {A: base, C: base}\negress: {allow: [base.example]}\nruntime: gvisor\nimage: base\nprojects: [/tmp]\n"+
		"resources: {memory: 3Gi, cpus: \"1\"}\nssh: [{host: git.example, user: base}, {host: other.example}]\n"+
		"credentials: [{name: forge, upstream: \"https://base.example\", secret: \"env:BASE\"}, {name: github, secret: \"env:GITHUB_TOKEN\"}]")
	loaded := u.mustLoad("a")
	b := loaded.Bottle
	want := map[string]string{"A": "top", "B": "middle", "C": "base"}
	if !reflect.DeepEqual(b.Env, want) {
		t.Errorf("env is %v, want %v", b.Env, want)
	}
	if got := strings.Join(b.Egress.Allow, " "); got != "base.example middle.example top.example" {
		t.Errorf("egress is %s", got)
	}
	if b.Runtime != "runc" || b.Image != "base" || b.Resources.Memory != "1Gi" || b.Resources.CPUs != "1" || b.Name != "top" {
		t.Errorf("bottle is %+v", b)
	}
	if len(b.SSH) != 2 || b.SSH[0].User != "top" {
		t.Errorf("ssh is %+v", b.SSH)
	}
	if len(b.Credentials) != 2 || b.Credentials[0].Secret != "env:TOP" || b.Credentials[1].Name != "github" {
		t.Errorf("credentials are %+v", b.Credentials)
	}
	if len(b.Projects) != 0 {
		t.Errorf("projects were inherited: %v", b.Projects)
	}
	if len(loaded.Files) != 4 {
		t.Errorf("%d files are named, want 4", len(loaded.Files))
	}
}

func TestALongChainOfExtendsIsRefused(t *testing.T) {
	u := newUser(t)
	u.agent("a", "bottle: b0", "")
	for i := range 20 {
		u.bottle("b"+string(rune('0'+i)), "extends: b"+string(rune('1'+i)))
	}
	if _, err := u.load("a"); err == nil {
		t.Error("it is taken")
	}
}

func TestT46_ARepositoryMayOnlyChooseWhatItWasGranted(t *testing.T) {
	u := newUser(t)
	u.bottle("default", "")
	u.bottle("wide", "egress: {allow: [example.com]}")
	u.bottle("listed", "projects: ["+u.options.Cwd+"]")

	u.project("a", "bottle: wide")
	if _, err := u.load("a"); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "can't choose its own rights") {
		t.Errorf("an agent unknown to the user chose its bottle: %v", err)
	}
	u.project("a", "")
	if _, err := u.load("a"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("an agent without bottle: %v", err)
	}
	u.project("a", "bottle: listed")
	if loaded := u.mustLoad("a"); !loaded.FromProject || loaded.Bottle.Name != "listed" || loaded.Agent.Prompt != "Do as the repository says." {
		t.Errorf("got %+v", loaded)
	}
	u.agent("a", "bottle: default", "mine")
	u.project("a", "bottle: wide")
	if _, err := u.load("a"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("a bottle other than the user's own agent has: %v", err)
	}
	u.project("a", "")
	if loaded := u.mustLoad("a"); !loaded.FromProject || loaded.Bottle.Name != "default" {
		t.Errorf("got %+v", loaded)
	}
	for _, widening := range []string{"egress: {allow: [x.example]}", "env: {A: b}", "runtime: runc", "mounts: [/]", "image: evil", "ssh: []", "projects: [/]"} {
		u.project("a", widening)
		if _, err := u.load("a"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s in a repository's agent: %v", widening, err)
		}
	}
	write(t, filepath.Join(u.options.Cwd, ".claude-bottle/bottles/own.md"), "---\negress: {allow: [evil.example]}\n---\n")
	u.project("a", "bottle: own")
	if _, err := u.load("a"); err == nil {
		t.Error("a repository's own bottle was taken")
	}
}

// TestT46_AnotherBottleIsGrantedByItsFileAlone: what is applied may name the agent's own
// bottle, or one that lists the directory.
func TestT46_AnotherBottleIsGrantedByItsFileAlone(t *testing.T) {
	u := newUser(t)
	u.bottle("default", "")
	u.bottle("wide", "egress: {allow: [example.com]}")
	u.bottle("listed", "projects: ["+u.options.Cwd+"]")
	u.agent("a", "bottle: default", "mine")
	for bottle, granted := range map[string]bool{"default": true, "listed": true, "wide": false, "none": false, "../wide": false} {
		u.options.Bottle = bottle
		loaded, err := u.load("a")
		switch {
		case granted && (err != nil || loaded.Bottle.Name != bottle || loaded.Agent.Bottle != bottle):
			t.Errorf("%s: %+v, %v", bottle, loaded, err)
		case !granted && err == nil:
			t.Errorf("%s was granted", bottle)
		}
	}
}

func TestT18_ARepositorysAgentIsNoLinkOutOfIt(t *testing.T) {
	u := newUser(t)
	u.bottle("default", "")
	u.agent("a", "", "mine")
	path := u.project("a", "")
	secret := filepath.Join(t.TempDir(), "secret.md")
	write(t, secret, "---\n---\nsecret\n")
	if err := errors.Join(os.Remove(path), os.Symlink(secret, path)); err != nil {
		t.Fatal(err)
	}
	if loaded, err := u.load("a"); err == nil {
		t.Errorf("it was read: %+v", loaded.Agent)
	}
}

func TestT46_ApprovalIsOfOneContent(t *testing.T) {
	u := newUser(t)
	u.bottle("default", "")
	u.agent("a", "", "mine")
	unapproved := func() []backend.ManifestFile {
		t.Helper()
		files, err := manifest.Unapproved(u.options, u.mustLoad("a"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	if files := unapproved(); len(files) > 0 {
		t.Errorf("the user's own file needs approval: %v", files)
	}
	path := u.project("a", "")
	first := unapproved()
	if len(first) != 1 || first[0].Path != path {
		t.Fatalf("approved before it was: %v", first)
	}
	if err := manifest.Approve(u.options, first[0]); err != nil {
		t.Fatal(err)
	}
	if files := unapproved(); len(files) > 0 {
		t.Errorf("approval is forgotten: %v", files)
	}
	write(t, path, "---\n---\nDo evil.\n")
	if files := unapproved(); len(files) != 1 {
		t.Errorf("approval holds for another content: %v", files)
	}
	write(t, filepath.Join(u.options.Home, ".claude-bottle/approved.json"), "{")
	if _, err := manifest.Unapproved(u.options, u.mustLoad("a")); err == nil {
		t.Error("a cut approvals file is taken")
	}
}

func TestHostFileBindsAndMustBeRootsOwn(t *testing.T) {
	u := newUser(t)
	u.bottle("default", "runtime: runc")
	u.agent("a", "", "")
	if loaded := u.mustLoad("a"); loaded.Host.RequireRuntime != "" {
		t.Errorf("without a file: %+v", loaded.Host)
	}
	write(t, u.options.HostFile, "requireRuntime: gvisor\nengineIdle: 1h\n")
	if loaded := u.mustLoad("a"); loaded.Host.RequireRuntime != "gvisor" || len(loaded.Files) != 3 {
		t.Errorf("host is %+v", loaded.Host)
	}
	for content, want := range map[string]string{
		"users: {default: {botles: 3}}\n": "did you mean bottles?", "users: {genie: {memory: much}}\n": "users: genie: resources.memory",
		"users: {genie: {runtimes: [kata]}}\n": "gvisor or runc", "users: {genie: 3}\n": "keys and values",
		"requireRuntime: docker\n": "gvisor or runc", "requireRuntme: gvisor\n": "did you mean requireRuntime?", "requireRuntime: auto\n": "gvisor or runc",
		"engineIdle: 5\n": "give how long", "engineIdle: -1m\n": "give how long",
	} {
		write(t, u.options.HostFile, content)
		if _, err := u.load("a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	write(t, u.options.HostFile, "requireRuntime: gvisor\n")
	for _, path := range []string{u.options.HostFile, filepath.Dir(u.options.HostFile)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(path, 0o777)
		if _, err := u.load("a"); !errdefs.IsPermissionDenied(err) {
			t.Errorf("with a world-writable %s: %v", filepath.Base(path), err)
		}
		_ = os.Chmod(path, info.Mode())
	}
}

func TestListShowsProblems(t *testing.T) {
	u := newUser(t)
	u.agent("good", "description: fine", "")
	u.agent("bad", "botle: x", "")
	u.bottle("default", "")
	u.bottle("worse", "egress: 1")
	u.project("good", "")
	entries, err := manifest.List(u.options)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, string(entry.Kind)+" "+entry.Name+" "+entry.Origin+" "+map[bool]string{true: "ok", false: "problem"}[entry.Problem == ""])
	}
	want := "agent bad home problem; agent good repository ok; bottle default home ok; bottle worse home problem"
	if strings.Join(got, "; ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInitWritesFilesThatLoadAndKeepsWhatIsThere(t *testing.T) {
	u := newUser(t)
	created, err := manifest.Init(u.options)
	if err != nil || len(created) != 2 {
		t.Fatalf("created %v, %v", created, err)
	}
	if loaded := u.mustLoad("claude"); len(loaded.Bottle.Egress.Allow) != 0 || loaded.Agent.Prompt == "" {
		t.Errorf("got %+v", loaded)
	}
	for _, path := range created {
		if err := manifest.Check(path); err != nil {
			t.Error(err)
		}
	}
	write(t, created[0], "mine")
	if created, err := manifest.Init(u.options); err != nil || len(created) != 0 {
		t.Errorf("second time: created %v, %v", created, err)
	}
}

var update = flag.Bool("update", false, "write the schemas anew")

func TestSchemasAreShippedAsTheyAre(t *testing.T) {
	for _, kind := range []manifest.Kind{manifest.KindAgent, manifest.KindBottle, manifest.KindHost, manifest.KindRecipe} {
		schema, err := manifest.Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("..", "docs", "schema", string(kind)+".json")
		if *update {
			write(t, path, string(schema))
		}
		if shipped, err := os.ReadFile(path); err != nil || string(shipped) != string(schema) {
			t.Errorf("%s is not what the types say: go test ./manifest -update (%v)", path, err)
		}
	}
	if _, err := manifest.Schema("nothing"); !errdefs.IsNotFound(err) {
		t.Errorf("schema of nothing: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("bottle: b", "image: x\nenv: {A: b}")
	f.Add("skills: [a]\nmodel: m", "extends: b\negress: {allow: [a.b]}")
	f.Fuzz(func(t *testing.T, agent, bottle string) {
		u := newUser(t)
		u.agent("a", agent, "")
		u.bottle("default", bottle)
		loaded, err := u.load("a")
		switch {
		case err != nil && !errdefs.IsInvalidArgument(err) && !errdefs.IsNotFound(err):
			t.Errorf("%v is of no kind", err)
		case err == nil && (loaded.Bottle.Name != "default" && loaded.Agent.Bottle == "default"):
			t.Errorf("got %+v", loaded)
		}
	})
}
