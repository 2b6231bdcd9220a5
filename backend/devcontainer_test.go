package backend_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestAPlanShowsWhatIsTakenOfADevcontainerAndWhatIsNot(t *testing.T) {
	p := plan()
	p.Name = "web"
	p.Setup = []backend.SetupCommand{backend.ShellCommand("", "npm ci && make"), {Name: "db", Argv: []string{"createdb", "two words", ""}}}
	p.Ports = []uint16{3000, 8080}
	p.Ignored = []backend.IgnoredKey{{Key: "mounts", Reason: "no"}, {Key: "features", Reason: "never"}, {Key: "runArgs", Reason: "no"}}
	p.Env = append(p.Env, backend.NewEnv("A", backend.EnvDevcontainer, "value"))
	shown := func() string {
		var out bytes.Buffer
		if err := p.Print(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, want := range []string{
		"  runs        npm ci && make (once, before claude, for 30m0s at most)\n", `  runs        db: createdb "two words" "" (once`,
		"  ports       3000, 8080, for `claude-bottle port-forward web`\n", "  ignored     mounts, runArgs of devcontainer.json: no\n",
		"  ignored     features of devcontainer.json: never\n", "  env         A set by devcontainer.json\n",
	} {
		if !strings.Contains(shown(), want) {
			t.Errorf("it does not show %q:\n%s", want, shown())
		}
	}
	if strings.Contains(shown(), "value") {
		t.Error("it shows a value")
	}
	p.Resume = &backend.PlanResume{}
	if !strings.Contains(shown(), "npm ci && make (not now: only a new bottle runs it)") {
		t.Errorf("resumed it shows\n%s", shown())
	}
	before := plan()
	before.Setup = []backend.SetupCommand{backend.ShellCommand("", "npm i")}
	var fields []string
	for _, change := range backend.PlanChanges(before, p) {
		fields = append(fields, change.Field)
	}
	for _, want := range []string{"setup command", "setup command db", "forwarded ports"} {
		if !strings.Contains(strings.Join(fields, ";")+";", want+";") {
			t.Errorf("%s does not differ: %v", want, fields)
		}
	}
}
