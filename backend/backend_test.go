package backend_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func TestT47_Names(t *testing.T) {
	for _, good := range []string{"a", "1", "genie", "my-bottle-2", strings.Repeat("a", 40)} {
		if err := backend.ValidateName("bottle", good); err != nil {
			t.Error(err)
		}
	}
	bad := []string{
		"", "-", "-a", "a-", "--yes", "A", "a b", "a.b", "a_b", "a/b", "../a", "/a", "~", "a@b", "a:b", "a\n", "\na", "a\x00", "a\x1b[2J", "a\t",
		"é", "а", "a\u202e", "a\u200b", "a\ufeff", "\xff", "a%", "a*", "a?", "[a]", "{a}", "$a", "`a`", "'a'", "\"a\"", "a\\b", "a;b", "a&b", "a|b",
		"a<b", "a>b", "a=b", "a,b", "a+b", "a!b", "a#b", "(a)", "a^", strings.Repeat("a", 41), strings.Repeat("a", 1<<20),
	}
	if len(bad) < 50 {
		t.Fatalf("only %d names", len(bad))
	}
	for _, name := range bad {
		err := backend.ValidateName("bottle", name)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%.50q: %v", name, err)
			continue
		}
		if len(err.Error()) > 300 || !isPlain(err.Error()) {
			t.Errorf("T25: %.50q is refused by %q", name, err)
		}
	}
}

func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') })
}

func TestIDsReadBack(t *testing.T) {
	id := backend.ID{Name: "my-bottle", Suffix: "k3x9p2"}
	if id.String() != "my-bottle-k3x9p2" || id.Handle() != "my-bottle@k3x9p2" {
		t.Errorf("got %s, %s", id, id.Handle())
	}
	if got, err := backend.ParseID(id.String()); err != nil || got != id {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "a-", "-a", "A-b", "../x-y", "--", "a-..", "a-../../etc", "a-B", "a-\x00"} {
		if got, err := backend.ParseID(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q is %v, %v", bad, got, err)
		}
	}
}

func TestT28_SecretsNeverPrint(t *testing.T) {
	const canary = "wish-canary"
	secret := backend.NewSecret(canary)
	holder := struct {
		Secret  backend.Secret
		Pointer *backend.Secret
		Map     map[string]backend.Secret
	}{secret, &secret, map[string]backend.Secret{"KEY": secret}}
	var out bytes.Buffer
	for _, value := range []any{secret, &secret, holder, &holder, []backend.Secret{secret}, fmt.Errorf("with %v", secret), backend.Secrets{Credential: secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		data, err := json.Marshal(value)
		if err != nil {
			t.Error(err)
		}
		out.Write(data)
		slog.New(slog.NewJSONHandler(&out, nil)).Error("value", "value", value)
	}
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("it printed:\n%s", out.String())
	}
	if secret.Reveal() != canary || secret.Empty() || !(backend.Secret{}).Empty() {
		t.Error("the value is lost")
	}
}

func plan() *backend.Plan {
	return &backend.Plan{
		Version: backend.PlanVersion, Name: "genie", Agent: "genie", Bottle: "lamp",
		Image:   backend.PlanImage{Reference: "image:1", Digest: "sha256:aa", Platform: "linux/amd64", Present: true},
		Runtime: backend.PlanRuntime{Name: "gvisor", Proved: true},
		Env: []backend.EnvVariable{
			backend.NewEnv("EDITOR", backend.EnvLiteral, "literal-canary"),
			{Name: "TOKEN", Origin: backend.EnvForwarded, From: "MY_TOKEN"},
			{Name: "PIN", Origin: backend.EnvAsked, Prompt: "the PIN"},
		},
		Egress:    []backend.PlanHost{{Host: "example.com", Ports: []uint16{443}}},
		Anthropic: backend.PlanAnthropic{Upstream: "https://api.anthropic.com", Credential: backend.CredentialAPIKey},
		Inputs:    []backend.Input{backend.NewInput(backend.Input{Kind: backend.InputPrompt, Name: "prompt"}, []byte("tar"))},
	}
}

func TestSecretsAreResolvedOnce(t *testing.T) {
	host := map[string]string{"MY_TOKEN": "token", "ANTHROPIC_API_KEY": " key\n"}
	lookup := func(name string) (string, bool) { value, ok := host[name]; return value, ok }
	asked := 0
	ask := func(prompt string) (string, error) { asked++; return "answer to " + prompt, nil }
	secrets, err := backend.ResolveSecrets(plan(), lookup, ask)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"EDITOR": "literal-canary", "TOKEN": "token", "PIN": "answer to the PIN"} {
		if got := secrets.Env[name]; got.Reveal() != want {
			t.Errorf("%s is %q", name, got.Reveal())
		}
	}
	if asked != 1 || secrets.Credential.Reveal() != "key" {
		t.Errorf("asked %d times; the credential is %q", asked, secrets.Credential.Reveal())
	}
	for _, missing := range []string{"MY_TOKEN", "ANTHROPIC_API_KEY"} {
		delete(host, missing)
		if _, err := backend.ResolveSecrets(plan(), lookup, ask); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		host[missing] = "back"
	}
}

func TestThePlanHoldsNoValue(t *testing.T) {
	data, err := json.Marshal(plan())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := plan().Print(&text); err != nil {
		t.Fatal(err)
	}
	if all := string(data) + text.String(); strings.Contains(all, "canary") {
		t.Errorf("a value is in it:\n%s", all)
	}
}

func TestAnImageIsPinnedOnce(t *testing.T) {
	for reference, want := range map[string]string{"image:1": "image:1@sha256:aa", "image@sha256:aa": "image@sha256:aa"} {
		if got := (backend.PlanImage{Reference: reference, Digest: "sha256:aa"}).Pinned(); got != want {
			t.Errorf("%s is pinned as %s, want %s", reference, got, want)
		}
	}
}

// TestT44_TheDigestCoversEveryField changes each field of a plan in turn.
func TestT44_TheDigestCoversEveryField(t *testing.T) {
	if first, second := plan().Digest(), plan().Digest(); first != second {
		t.Error("the digest is not the same twice")
	}
	kind := reflect.TypeFor[backend.Plan]()
	for i := range kind.NumField() {
		changed := plan()
		field := reflect.ValueOf(changed).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Int:
			field.SetInt(field.Int() + 1)
		case reflect.Bool:
			field.SetBool(!field.Bool())
		case reflect.Slice:
			field.Set(reflect.Append(field, reflect.New(field.Type().Elem()).Elem()))
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.Struct:
			changeFirst(t, field)
		case reflect.Interface:
			field.Set(reflect.ValueOf(words("detail")))
		default:
			t.Fatalf("field %s is of kind %s", kind.Field(i).Name, field.Kind())
		}
		if changed.Digest() == plan().Digest() {
			t.Errorf("a change of %s leaves the digest as it is", kind.Field(i).Name)
		}
	}
}

type words string

func (w words) String() string { return string(w) }

func changeFirst(t *testing.T, structure reflect.Value) {
	for i := range structure.NumField() {
		switch field := structure.Field(i); field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
			return
		case reflect.Int64:
			field.SetInt(field.Int() + 1)
			return
		case reflect.Bool:
			field.SetBool(!field.Bool())
			return
		default:
		}
	}
	t.Fatalf("%s has no plain field", structure.Type())
}

// hostile are texts that would change what the screen says.
func hostile() []string {
	return []string{
		"\x1b[2J", "\x1b]0;title\a", "\x1b]52;c;eA==\a", "a\nWARNING all is well", "a\r\nhosts none", "\rBottle safe", "\x00", "\a", "\b\b\b", "\x7f",
		"\u009b2J", "\x9b2J", "\u202etxt.exe", "\u2066x\u2069", "\u200bx", "\ufeffx", "\u00ad", "раураl", "ｅvil", "e\u0301", "🧞", "\xff\xfe",
		"\u2028x", "\u2029x", "\t\t", "a\vb", "a\fb", "\x1bP$q\x1b\\", "\x1b_G\x1b\\", "\x1bc", "\x1b[8m", "\x1b[1A", "\x1b[?1049h", "\x1b(0", "\x0e",
		"\u0085", "\u3164", "\u115f", "\U000e0041", "%s%n", "\u061c", "\u180e",
	}
}

func TestT25_ForeignTextCanNotChangeTheScreen(t *testing.T) {
	if len(hostile()) < 40 {
		t.Fatalf("only %d texts", len(hostile()))
	}
	for _, text := range hostile() {
		p := plan()
		p.Name, p.Agent, p.Bottle = text, text, text
		p.Files = []backend.ManifestFile{{Kind: "agent", Path: text, SHA256: "00"}}
		p.Image.Reference, p.Image.Platform = text, text
		p.Runtime.Binary, p.Runtime.Version, p.Runtime.Reason = text, text, text
		p.Mounts = []backend.PlanMount{{Destination: "/workspace", Kind: "bind", From: text}}
		p.Inputs = append(p.Inputs, backend.NewInput(backend.Input{Kind: backend.InputSkill, Name: text, Note: text}, nil))
		p.Workspace = &backend.WorkTree{Path: text, Head: "0000", Branch: text, Omitted: []backend.Omission{{Path: text, Reason: "ignored"}}}
		p.Env = []backend.EnvVariable{{Name: text, Origin: backend.EnvForwarded, From: text}, {Name: text, Origin: backend.EnvAsked, Prompt: text}, backend.NewEnv(text, backend.EnvLiteral, "x")}
		p.Egress = []backend.PlanHost{{Host: text, Ports: []uint16{1}, Because: text}}
		p.Anthropic.Upstream, p.Anthropic.ServerTools = text, []string{text}
		p.Routes = []backend.PlanRoute{{Name: "x", Kind: backend.RouteGitHub, Upstream: text, Header: text, Scheme: text, User: text, Source: text, Allow: []backend.RequestRule{{Methods: []string{text}, Paths: []string{text}}}, Repositories: []string{text}}}
		p.Command, p.Warnings, p.Detail = []string{text}, []string{text}, words(text)
		p.Setup = []backend.SetupCommand{backend.ShellCommand(text, text), {Argv: []string{text, text}}}
		p.Ignored = []backend.IgnoredKey{{Key: text, Reason: text}, {Key: text, Reason: text}}
		var out bytes.Buffer
		if err := p.Print(&out); err != nil {
			t.Fatal(err)
		}
		if !isPlain(out.String()) {
			t.Errorf("%q: the preflight shows %q", text, out.String())
		}
		plainLines := strings.Count(renamed(t, "x"), "\n")
		if got := strings.Count(out.String(), "\n"); got != plainLines {
			t.Errorf("%q makes %d lines, want %d", text, got, plainLines)
		}
		cleanup := backend.CleanupPlan{
			Items: []backend.CleanupItem{{Bottle: text, Kind: "record", Target: text, Reason: text}},
			Kept:  []backend.KeptWorkspace{{Handle: text, Path: text}, {Handle: text, Path: text, Reason: text}},
		}
		out.Reset()
		if err := cleanup.Print(&out); err != nil || !isPlain(out.String()) || strings.Count(out.String(), "\n") != 4 {
			t.Errorf("%q: cleanup shows %q, %v", text, out.String(), err)
		}
	}
}

// renamed is the preflight of the same plan with harmless text.
func renamed(t *testing.T, text string) string {
	p := plan()
	p.Files = []backend.ManifestFile{{Kind: "agent", Path: text, SHA256: "00"}}
	p.Mounts = []backend.PlanMount{{Destination: "/workspace", Kind: "bind", From: text}}
	p.Inputs = append(p.Inputs, backend.Input{Kind: backend.InputSkill, Name: text})
	p.Workspace = &backend.WorkTree{Path: text, Omitted: []backend.Omission{{Path: text}}}
	p.Anthropic.ServerTools = []string{text}
	p.Routes = []backend.PlanRoute{{Name: "x", Kind: backend.RouteGitHub, Allow: []backend.RequestRule{{}}, Repositories: []string{text}}}
	p.Warnings, p.Detail = []string{text}, words(text)
	p.Setup, p.Ignored = make([]backend.SetupCommand, 2), make([]backend.IgnoredKey, 1)
	var out bytes.Buffer
	if err := p.Print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSizesAreShownInBinaryUnits(t *testing.T) {
	for size, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 4 << 30: "4.0 GiB", 1<<62 + 1: "4096.0 PiB"} {
		if got := backend.Bytes(size); got != want {
			t.Errorf("%d is %s, want %s", size, got, want)
		}
	}
}
