// Package conformance is the contract of backend.Backend as tests: any backend passes
// them, whatever bottles are made of. What a backend needs for it is a Harness; a backend
// of local processes that passes is in the folder fake. No program imports it.
package conformance

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
)

// Harness is what the suite has to know of a backend.
type Harness struct {
	// Open is one more client of the same bottles, closed at the end of the test. There
	// are no bottles at the beginning.
	Open func(t testing.TB) backend.Backend
	// Image and Runtime go into the bottle file. The image's claude is the stand-in of
	// hack/image.
	Image   string
	Runtime backend.RuntimePolicy
	// Dead starts such a bottle, waits for its claude to say ready, and has everything
	// die then that holds it. The command is FAKE_CLAUDE_RUN of the bottle file.
	Dead func(t testing.TB, spec backend.Spec)
	// Left are what bottles have made and not removed, beside what is kept of them; ""
	// for nothing.
	Left func(t testing.TB) string
}

// Run runs the whole suite; what is about the powers that not every backend has, as Opener,
// only when this one has them.
func Run(t *testing.T, harness Harness) {
	tests := map[string]func(*testing.T, *suite){
		"preparing changes nothing":                 testPrepare,
		"bad names are refused":                     testNames,
		"of many launches of a name one wins":       testOneWinner,
		"a launch that fails leaves nothing":        testRollback,
		"the plan is used as it was shown":          testPlanIsUsed,
		"claude has its streams and its exit code":  testExitCodes,
		"claude has its terminal":                   testTerminal,
		"a session ends with its context":           testContext,
		"files are copied in":                       testCopyIn,
		"closing is idempotent":                     testClose,
		"unsaved work is kept":                      testUnsaved,
		"work is thrown away by word alone":         testDiscard,
		"what is dead is cleaned up, and just that": testCleanup,
		"a cleanup leaves what has come back":       testLateCleanup,
		"listing never fails":                       testList,
	}
	machine := harness.Open(t)
	if _, ok := machine.(backend.Opener); ok {
		maps.Copy(tests, map[string]func(*testing.T, *suite){
			"a detached bottle lives on and has an outcome": testDetached,
			"a detached bottle is stopped":                  testHalt,
			"who leaves a session leaves claude as it is":   testLeave,
			"what isn't there or has ended can't be opened": testOpen,
		})
	}
	if _, ok := machine.(backend.Watcher); ok {
		tests["who listens hears what may have happened"] = testWatch
	}
	if _, ok := machine.(backend.Historian); ok {
		tests["what has happened to a bottle is known"] = testHistory
	}
	if _, ok := machine.(backend.Declarer); ok {
		tests["what is declared of a bottle changes in order"] = testDeclare
	}
	if _, ok := machine.(backend.Reconciler); ok {
		tests["bottles are led to where they belong"] = testReconcile
		tests["bottles outlive their time for their work alone"] = testExpire
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			s := &suite{Harness: harness, backend: harness.Open(t), home: t.TempDir(), cwd: t.TempDir()}
			tests[name](t, s)
			s.empty(t)
		})
	}
}

// suite is what one test has.
type suite struct {
	Harness
	backend   backend.Backend
	home, cwd string
}

// spec is the wish for a bottle whose claude runs a shell command.
func (s *suite) spec(t testing.TB, name, command string) backend.Spec {
	t.Helper()
	limits, err := manifest.Limits(backend.Resources{})
	if err != nil {
		t.Fatal(err)
	}
	return backend.Spec{
		Manifest: &backend.Manifest{
			Agent: backend.AgentFile{Name: "tester", Bottle: "default"},
			Bottle: backend.BottleFile{
				Name: "default", Image: s.Image, Runtime: s.Runtime,
				Env: map[string]string{"FAKE_CLAUDE_RUN": command},
			},
		},
		Name: name, Cwd: s.cwd, Home: s.home, Limits: limits, Lookup: nothing,
	}
}

// nothing is a host without variables.
func nothing(string) (string, bool) { return "", false }

// plan prepares.
func (s *suite) plan(t testing.TB, spec backend.Spec) *backend.Plan {
	t.Helper()
	plan, err := s.backend.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return plan
}

// launchPlan launches what was planned.
func launchPlan(ctx context.Context, b backend.Backend, plan *backend.Plan) (backend.Bottle, error) {
	secrets, err := backend.ResolveSecrets(plan, nothing, func(string) (string, error) { return "", nil })
	if err != nil {
		return nil, err
	}
	return b.Launch(ctx, plan, secrets)
}

// launch brings up a bottle, which is closed at the end of the test.
func (s *suite) launch(t testing.TB, spec backend.Spec) (backend.Bottle, *backend.Plan) {
	t.Helper()
	plan := s.plan(t, spec)
	bottle, err := launchPlan(t.Context(), s.backend, plan)
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	t.Cleanup(func() { _ = bottle.Close(context.WithoutCancel(t.Context())) })
	return bottle, plan
}

// said is what a run of claude has printed, and how it ended.
type said struct {
	out, err string
	code     int
}

// runs runs a command line as claude's, without a terminal.
func runs(t testing.TB, bottle backend.Bottle, input string, argv ...string) (said, error) {
	t.Helper()
	var out, failed bytes.Buffer
	code, err := bottle.ExecClaude(t.Context(), argv, backend.Terminal{In: strings.NewReader(input), Out: &out, Err: &failed})
	return said{out.String(), failed.String(), code}, err
}

// closes closes a bottle.
func closes(t testing.TB, bottle backend.Bottle) {
	t.Helper()
	if err := bottle.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// list lists.
func (s *suite) list(t testing.TB) []backend.Status {
	t.Helper()
	list, err := s.backend.ListActive(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return list
}

// one is the bottle of that name, or the kept one that had it; nil without.
func (s *suite) one(t testing.TB, name string) *backend.Status {
	t.Helper()
	for _, status := range s.list(t) {
		if base, _, _ := strings.Cut(status.Name, "@"); base == name {
			return &status
		}
	}
	return nil
}

// phase waits for the phase of a bottle, and returns what is known of it.
func (s *suite) phase(t testing.TB, name string, phase backend.Phase) backend.Status {
	t.Helper()
	var last *backend.Status
	eventually(t, name+" is "+string(phase), func() bool {
		last = s.one(t, name)
		return last != nil && last.Phase == phase
	})
	return *last
}

// empty wants nothing to be there but what is kept.
func (s *suite) empty(t testing.TB) {
	t.Helper()
	eventually(t, "the bottles go", func() bool {
		return !slices.ContainsFunc(s.list(t), func(status backend.Status) bool { return status.Phase != backend.PhaseKept })
	})
	var left string
	eventually(t, "nothing is left", func() bool { left = s.Left(t); return left == "" })
	plan, err := s.backend.PrepareCleanup(t.Context())
	if err != nil || !plan.Empty() {
		t.Errorf("there is to clean up %+v, %v", plan, err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// page is a writer that can be looked at while it is written to.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(data)
}

func (p *page) shows(t testing.TB, text string) {
	t.Helper()
	eventually(t, "it says "+text, func() bool { return strings.Contains(p.String(), text) })
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// keyboard is a pipe that is closed at the end of the test.
func keyboard(t testing.TB) (io.Reader, io.Writer) {
	reader, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.Close(); _ = reader.Close() })
	return reader, writer
}
