package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
)

func TestOneThatHangsIsUnknownAndHoldsUpNobody(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	about := func(name string) subject { return subject{name, name} }
	undone := false
	checks := together(t.Context(), []look{
		{subject: about("hangs"), bound: time.Millisecond, see: func(context.Context) []Check { <-hang; return nil }},
		{subject: about("undoes"), bound: time.Millisecond, undoes: true, see: func(ctx context.Context) []Check {
			<-ctx.Done()
			undone = true
			return []Check{about("undoes").ok("undone")}
		}},
		simple(about("quick"), func() Check { return about("quick").ok("seen") }),
	})
	if !undone || len(checks) != 3 || checks[0].Status != Unknown || !strings.Contains(checks[0].Found, "no answer within 1ms") || checks[1].Found != "undone" || checks[2].Found != "seen" {
		t.Errorf("%v: they say %+v", undone, checks)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	checks = together(ended, []look{{subject: about("hangs"), bound: time.Hour, see: func(context.Context) []Check { <-hang; return nil }}})
	if len(checks) != 1 || checks[0].Status != Unknown || strings.Contains(checks[0].Found, "within") {
		t.Errorf("after a signal it says %+v", checks)
	}
}

// TestT28_NothingOfAReportIsASecret: also where a file or a variable is wrong by its value.
func TestT28_NothingOfAReportIsASecret(t *testing.T) {
	const canary = "canary-5f1d7c22b9e0"
	home := t.TempDir()
	for path, text := range map[string]string{
		"bottles/default.md": "---\nenv:\n  TOKEN: \"${" + canary + " x}\"\n  ? [" + canary + "]\n  : x\n---\n",
		"agents/genie.md":    "---\nmodel: \"" + canary + " two\"\n---\n",
		"agents/lamp.md":     "---\n" + canary + ": x\n---\n",
	} {
		full := filepath.Join(home, ".claude-bottle", path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	asked := map[string]bool{}
	var told []Check
	report := Examine(t.Context(), Options{
		Containerd:     containerd.Options{Root: filepath.Join(home, "lib"), RunRoot: filepath.Join(home, "run"), Executable: "/bin/true"},
		AddressProblem: errdefs.ErrUnavailable,
		Manifests:      manifest.Options{Home: home, Cwd: home},
		Lookup:         func(name string) (string, bool) { asked[name] = true; return canary, true },
		Terminal:       Terminal{Is: true, Name: canary + "\n", Locale: canary + " UTF-8"},
		Told:           func(checks []Check) { told = append(told, checks...) },
	})
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), canary) {
		t.Errorf("it is in %s", text)
	}
	if !asked["ANTHROPIC_API_KEY"] || report.status("credentials") != OK || report.status("files") != Missing || report.status("socket") != Missing || report.status("claude-gvisor") != Unknown {
		t.Errorf("it says %s", text)
	}
	if !slices.Equal(told, report.Checks) || report.Count(Missing) < 2 {
		t.Errorf("told was %+v", told)
	}
	names := map[string]bool{}
	for _, check := range report.Checks {
		if names[check.Name] {
			t.Errorf("%s is there twice", check.Name)
		}
		names[check.Name] = true
	}
	if entries, _ := os.ReadDir(home); len(entries) != 1 {
		t.Errorf("it has made %v", entries)
	}
}

func TestFactsOfThisHostAreGathered(t *testing.T) {
	if f := gatherKernel(); f.err != nil || f.major < 3 || f.machine == "" || f.page < gvisorPage {
		t.Errorf("kernel: %+v", f)
	}
	if f := gatherPowers(); f.err != nil || f.uid != os.Geteuid() || f.uid == 0 && f.effective == 0 {
		t.Errorf("powers: %+v", f)
	}
	if f := gatherLimits(); f.err != nil || f.files == 0 {
		t.Errorf("limits: %+v", f)
	}
	if f := gatherDisk(filepath.Join(t.TempDir(), "not", "there")); f.err != nil || f.total == 0 || f.free > f.total {
		t.Errorf("disk: %+v", f)
	}
	if f := gatherDisk("/proc/self/mem/x"); f.err == nil {
		t.Errorf("what is below a file: %+v", f)
	}
	if list, err := gatherFileSystems(); err != nil || !slices.Contains(list, "proc") {
		t.Errorf("file systems: %v, %v", list, err)
	}
	if f := gatherCgroups(t.TempDir()); f.version != 1 || len(f.controllers) != 0 || f.err != nil {
		t.Errorf("no cgroups: %+v", f)
	}
}

func TestControllersThatCanNotBeHandedOnAreSeen(t *testing.T) {
	files := map[string]string{"cgroup.controllers": "cpu io memory pids\n", "cgroup.subtree_control": "", "cgroup.procs": "1\n7\n"}
	read := func(also map[string]string) (f cgroupFacts) {
		dir := t.TempDir()
		for _, list := range []map[string]string{files, also} {
			for name, text := range list {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.unified(dir)
		return f
	}
	if f := read(nil); f.shared || f.err != nil || f.version != 2 || !slices.Equal(f.controllers, []string{"cpu", "io", "memory", "pids"}) {
		t.Errorf("the host's root: %+v", f)
	}
	container := map[string]string{"cgroup.type": "domain\n"}
	if f := read(container); !f.shared {
		t.Errorf("a container whose processes are in its root: %+v", f)
	}
	container["cgroup.subtree_control"] = "cpu memory pids\n"
	if f := read(container); f.shared {
		t.Errorf("one that hands them on: %+v", f)
	}
}

func TestWhatIsSaidElsewhereIsOneBoundedLine(t *testing.T) {
	if got := firstLine(fmt.Errorf("a \"b\"\x1b[2J\u202e\nc")); got != `a "b"\x1b[2J\u202e` {
		t.Errorf("it is %s", got)
	}
	if got := firstLine(fmt.Errorf("%s", strings.Repeat("x", 1000))); len(got) != maxFound+len("...") {
		t.Errorf("it has %d bytes", len(got))
	}
	var c clipped
	for range 10 {
		if n, err := c.Write(make([]byte, 5<<10)); n != 5<<10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if c.text.Len() != 16<<10 {
		t.Errorf("%d bytes are kept", c.text.Len())
	}
}

func TestARefusalToCleanUpIsNoFailure(t *testing.T) {
	m := &mending{asked: Asked{Agree: func(context.Context, *backend.CleanupPlan) (bool, error) { return false, errdefs.ErrFailedPrecondition }}}
	m.note(m.cleanUp(t.Context(), oneDead{}))
	if len(m.done) != 1 || strings.HasPrefix(m.done[0], "failed") {
		t.Errorf("it says %q", m.done)
	}
	m = &mending{asked: Asked{Agree: func(context.Context, *backend.CleanupPlan) (bool, error) { return true, nil }}}
	m.note(m.cleanUp(t.Context(), oneDead{}))
	if len(m.done) != 1 || !strings.Contains(m.done[0], "1 thing") {
		t.Errorf("it says %q", m.done)
	}
}

// oneDead is a backend on which one dead bottle has left something.
type oneDead struct{ backend.Backend }

func (oneDead) PrepareCleanup(context.Context) (*backend.CleanupPlan, error) {
	return &backend.CleanupPlan{Items: []backend.CleanupItem{{Bottle: "a-00000", Kind: "task"}}}, nil
}

func (oneDead) Cleanup(context.Context, *backend.CleanupPlan) error { return nil }
