package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func bottleOf(name, handle, phase string, labels map[string]string) *v1alpha1.Bottle {
	return &v1alpha1.Bottle{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, UID: types.UID(handle)},
		Status:     v1alpha1.BottleStatus{Handle: handle, Phase: phase},
	}
}

func TestBottlesAreChosenByNameHandleAndLabel(t *testing.T) {
	bottles := []*v1alpha1.Bottle{
		bottleOf("a", "a@x", "Kept", map[string]string{"team": "web", "tier": "1"}),
		bottleOf("b", "b", "Running", map[string]string{"team": "db"}),
		bottleOf("c", "c", "Running", nil),
	}
	for words, want := range map[string]string{
		"":                            "a b c",
		"a":                           "a",
		"a@x a":                       "a",
		"bottle/b c":                  "b c",
		"bottle.claude-bottle.dev/c":  "c",
		"b none":                      "b !none",
		"-l team=web":                 "a",
		"-l team":                     "a b",
		"-l !team":                    "c",
		"-l team in (web,db),tier!=1": "b",
	} {
		which := selection{}
		if selector, ok := strings.CutPrefix(words, "-l "); ok {
			which.selector = selector
		} else {
			which.names = strings.Fields(words)
		}
		found, missing, err := which.of(bottles)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, bottle := range found {
			got = append(got, bottle.Name)
		}
		for _, name := range missing {
			got = append(got, "!"+name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q chooses %q, wanted is %q", words, got, want)
		}
	}
	for _, wrong := range []selection{{selector: "a=b=c"}, {selector: "a", names: []string{"b"}}} {
		if _, err := wrong.check(); exitCode(nil, err) != exitUsage {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestAWatchShowsWhatChangedAndWhatIsGone(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	output := &resourceFormat{format: format{value: "table", allowed: []string{"table"}}}
	w := &watched{app: &application{streams: streams{out: out}}, options: getOptions{output: output}, before: map[string]string{}, last: map[string]*v1alpha1.Bottle{}}
	for _, bottles := range [][]*v1alpha1.Bottle{
		nil,
		{bottleOf("a", "a", "Starting", nil), bottleOf("b", "b", "Running", nil)},
		{bottleOf("a", "a", "Starting", nil), bottleOf("b", "b", "Running", nil)},
		{bottleOf("a", "a", "Running", nil), bottleOf("b", "b", "Running", nil)},
		{bottleOf("a", "a", "Running", nil)},
	} {
		if err := w.show(bottles); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		got = append(got, words[0]+" "+words[2])
	}
	if want := "NAME STATUS, a Starting, b Running, a Running, b Deleted"; strings.Join(got, ", ") != want {
		t.Errorf("it showed %q, wanted is %q", strings.Join(got, ", "), want)
	}
}

func TestTheTwoKindsOfApplyAndDiffAreToldApart(t *testing.T) {
	for line, want := range map[string]string{
		"apply":                           "the name of a bottle whose work",
		"apply x -f y":                    "either NAME",
		"apply -f y --into z":             "--into is for apply NAME",
		"apply x --allow-vulnerable-runc": "is for apply -f FILE",
		"apply x -R":                      "--recursive is for apply -f FILE",
		"diff -f y --stat":                "--stat is for diff NAME",
		"diff x -f y":                     "either NAME",
		"diff x -R":                       "--recursive is for diff -f FILE",
		"diff":                            "at least one argument",
		"delete":                          "delete takes one of",
		"delete x -f y":                   "delete takes one of",
		"get x -l y":                      "exclude each other",
		"get -o jsonpath={":               "unclosed action",
		"get -o else":                     "unknown format",
		"schema else":                     "there is no schema",
		"describe x -l y":                 "exclude each other",
	} {
		errs, err := os.Create(filepath.Join(t.TempDir(), "err"))
		if err != nil {
			t.Fatal(err)
		}
		a := &application{streams: streams{in: os.Stdin, out: errs, err: errs}, lookup: func(string) (string, bool) { return "", false }}
		if code := a.run(t.Context(), strings.Fields(line)); code != exitUsage {
			t.Errorf("%s ends with %d", line, code)
		}
		said, err := os.ReadFile(errs.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(said), want) {
			t.Errorf("%s says %s", line, said)
		}
		_ = errs.Close()
	}
}

func TestWhatABottleHasReachedIsCounted(t *testing.T) {
	state := t.TempDir()
	lines := `{"kind":"dial","host":"a.example","allowed":true}
{"kind":"dial","host":"b.example","allowed":false}
{"kind":"name","host":"b.example","allowed":false}
{"kind":"dial","host":"a.example","allowed":true}
`
	if err := os.WriteFile(filepath.Join(state, "egress.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	bottle := bottleOf("a", "a", "Running", nil)
	countEgress(t.Context(), bottle, backend.Status{Workspace: filepath.Join(state, "workspace")})
	if bottle.Status.Egress == nil || *bottle.Status.Egress != (v1alpha1.Egress{Allowed: 2, Denied: 1}) {
		t.Errorf("counted are %+v", bottle.Status.Egress)
	}
}
