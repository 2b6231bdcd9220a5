package remote

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
)

// fakeBackend has one bottle, which it launches without a sandbox.
type fakeBackend struct {
	Backend

	mu       sync.Mutex
	closed   []string
	detached []string
	// Who looks for the bottle "slow" has arrived, and waits.
	arrived, hold chan struct{}
}

func (b *fakeBackend) ListActive(context.Context) ([]backend.Status, error) {
	return []backend.Status{{Name: "lamp", Phase: backend.PhaseRunning, Workspace: "/root/lamp/workspace"}}, nil
}

func (b *fakeBackend) Find(_ context.Context, name string) (*backend.Work, error) {
	if name == "panic" {
		panic("as asked")
	}
	if name == "slow" {
		b.arrived <- struct{}{}
		<-b.hold
	}
	if name != "lamp" {
		return nil, errdefs.ErrNotFound
	}
	return &backend.Work{ID: backend.ID{Name: "lamp", Suffix: "abcde"}, Running: true, State: "/root/lamp"}, nil
}

func (b *fakeBackend) PrepareGiven(_ context.Context, spec backend.Spec, things provision.Provisions) (*backend.Plan, error) {
	return &backend.Plan{Name: spec.BottleName(), Inputs: things.Inputs, SSH: things.SSH, Runtime: backend.PlanRuntime{Name: "gvisor"}, Limits: spec.Limits}, nil
}

func (b *fakeBackend) LaunchGiven(ctx context.Context, plan *backend.Plan, _ backend.Secrets, by backend.Provisioner) (backend.Bottle, error) {
	if _, err := by.Provision(ctx, plan, nil); err != nil {
		return nil, err
	}
	return &fakeBottle{backend: b, name: plan.Name}, nil
}

func (b *fakeBackend) log(list *[]string, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, name)
}

type fakeBottle struct {
	backend.Bottle
	backend.Detacher

	backend *fakeBackend
	name    string
}

func (b *fakeBottle) Name() string { return b.name }

func (b *fakeBottle) Close(context.Context) error {
	b.backend.log(&b.backend.closed, b.name)
	return nil
}

func (b *fakeBottle) Detach(context.Context) error {
	b.backend.log(&b.backend.detached, b.name)
	return nil
}

// serve serves a backend, and returns where. After stop nobody is served any more.
func serve(t *testing.T, fake Backend, quotaErr error) (path string, server *Server, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	server = NewServer(Options{
		Open: func(context.Context, uint32) (Backend, error) { return fake, nil },
		Quota: func(uint32) (backend.HostFile, backend.Quota, error) {
			return backend.HostFile{}, backend.Quota{
				Bottles: 3, Limits: backend.Limits{MemoryBytes: 1 << 40, CPUMillis: 1 << 20, Processes: 1 << 20}, Runtimes: []string{"gvisor"},
			}, quotaErr
		},
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return path, server, stop
}

func greeted(t *testing.T, path string) *neck.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	link, err := neck.Client(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	var answer hello
	if err := ask(t.Context(), link, kindHello, hello{Version: protocolVersion}, &answer); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestTheServerAnswersWhatItKnowsAndNothingOfTheHosts(t *testing.T) {
	path, _, _ := serve(t, &fakeBackend{}, nil)
	link := greeted(t, path)
	var found backend.Work
	if err := ask(t.Context(), link, kindFind, named{"panic"}, &found); err == nil {
		t.Error("a panic has an answer")
	}
	if err := ask(t.Context(), link, kindFind, named{"lamp"}, &found); err != nil || found.State != "" || found.ID.Suffix != "abcde" {
		t.Errorf("found is %+v, %v", found, err)
	}
	var list []backend.Status
	if err := ask(t.Context(), link, kindList, listing{}, &list); err != nil || len(list) != 1 || list[0].Workspace != "" {
		t.Errorf("listed is %+v, %v", list, err)
	}
	for _, row := range []struct {
		kind neck.Kind
		body any
		is   func(error) bool
	}{
		{kindFind, named{"other"}, errdefs.IsNotFound},
		{kindFind, map[string]string{"name": "lamp", "namespace": "k8s.io"}, errdefs.IsInvalidArgument},
		{"users shell", named{"lamp"}, errdefs.IsNotImplemented},
		{neck.KindSession, named{"lamp"}, errdefs.IsNotImplemented},
		{kindHello, hello{Version: 99}, errdefs.IsFailedPrecondition},
		{kindLaunch, launching{Plan: "sha256:made-up"}, errdefs.IsNotFound},
		{kindExtract, extraction{Name: "lamp", Place: backend.PlaceWorkspace}, errdefs.IsNotFound},
		{kindClose, named{"lamp"}, errdefs.IsNotFound},
		{kindDetach, named{"lamp"}, errdefs.IsNotFound},
		{kindUnsaved, unsavedOf{Name: "lamp", Held: true}, errdefs.IsNotFound},
		{kindRemove, removal{Name: "lamp", Discard: true}, errdefs.IsConflict},
		{kindPack, keptFiles{Name: "lamp", Path: "/workspace"}, errdefs.IsConflict},
	} {
		var answer json.RawMessage
		if err := ask(t.Context(), link, row.kind, row.body, &answer); !row.is(err) {
			t.Errorf("%s %+v: %v", row.kind, row.body, err)
		}
	}
}

// TestAUserHoldsSoMuchOfTheControllerAndNoMore: not by many connections either; what is
// there goes on, and who is one too many loses that link.
func TestAUserHoldsSoMuchOfTheControllerAndNoMore(t *testing.T) {
	fake := &fakeBackend{arrived: make(chan struct{}), hold: make(chan struct{})}
	path, _, _ := serve(t, fake, nil)
	last := greeted(t, path)
	answers := make(chan error, maxUserStreams)
	for range maxUserStreams / maxStreams {
		link := greeted(t, path)
		for range maxStreams {
			go func() {
				var work backend.Work
				answers <- ask(t.Context(), link, kindFind, named{Name: "slow"}, &work)
			}()
		}
	}
	for range maxUserStreams {
		<-fake.arrived
	}
	var list []backend.Status
	if err := ask(t.Context(), last, kindList, listing{}, &list); err == nil {
		t.Errorf("with %d streams open one more was answered", maxUserStreams)
	}
	<-last.Done()
	close(fake.hold)
	for range maxUserStreams {
		if err := <-answers; !errdefs.IsNotFound(err) {
			t.Errorf("one that was there has %v", err)
		}
	}
	if err := ask(t.Context(), greeted(t, path), kindList, listing{}, &list); err != nil {
		t.Errorf("with all of them gone: %v", err)
	}
}

func TestNobodyIsServedUnderAWrongHostFile(t *testing.T) {
	path, _, _ := serve(t, &fakeBackend{}, errors.New("config.yaml:1: unknown key"))
	if _, err := Dial(t.Context(), path, backend.NoProgress{}); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Errorf("dial: %v", err)
	}
}

func TestARequestBeforeTheHelloIsRefused(t *testing.T) {
	path, _, _ := serve(t, &fakeBackend{}, nil)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	link, err := neck.Client(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = link.Close() }()
	var list []backend.Status
	if err := ask(t.Context(), link, kindList, listing{}, &list); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("list: %v", err)
	}
}

// launchLamp launches a bottle of that name, without anything in it.
func launchLamp(t *testing.T, link *neck.Conn, name string, answer filled) launched {
	t.Helper()
	wish := newWish(wished(t))
	wish.Name = name
	var plan planned
	if err := ask(t.Context(), link, kindPrepare, wish, &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Plan.Name != name || plan.Digest == "" {
		t.Fatalf("the plan is %+v", plan)
	}
	stream, err := request(t.Context(), link, kindLaunch, launching{Plan: plan.Digest})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	decoder := json.NewDecoder(stream)
	var step launched
	if err := decoder.Decode(&step); err != nil || !step.Fill {
		t.Fatalf("the first step is %+v, %v", step, err)
	}
	if err := json.NewEncoder(stream).Encode(answer); err != nil {
		t.Fatal(err)
	}
	step = launched{}
	if err := decoder.Decode(&step); err != nil {
		t.Fatal(err)
	}
	return step
}

func TestABottleGoesWithItsClientUnlessItIsDetached(t *testing.T) {
	fake := &fakeBackend{}
	path, _, stop := serve(t, fake, nil)
	link := greeted(t, path)
	failure := neck.FailureOf(errors.New("the lamp is stolen"))
	if step := launchLamp(t, link, "failed", filled{Failure: failure}); step.Failure == nil || step.Failure.Text != failure.Text {
		t.Errorf("the last step is %+v", step)
	}
	for _, name := range []string{"one", "two", "three"} {
		if step := launchLamp(t, link, name, filled{}); !step.Done {
			t.Fatalf("the last step is %+v", step)
		}
	}
	var answer struct{}
	if err := errors.Join(ask(t.Context(), link, kindDetach, named{"two"}, &answer), ask(t.Context(), link, kindClose, named{"three"}, &answer)); err != nil {
		t.Fatal(err)
	}
	_ = link.Close()
	stop()
	fake.mu.Lock()
	defer fake.mu.Unlock()
	if got := strings.Join(fake.closed, ","); got != "three,one" || strings.Join(fake.detached, ",") != "two" {
		t.Errorf("closed are %s, detached %v", got, fake.detached)
	}
}

func TestASocketIsForRootAndTheGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test is root's")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "users.sock")
	for range 2 { // the second replaces what the first has left
		listener, err := Listen(path, "games")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm() != 0o660 || info.Mode().Type() != os.ModeSocket {
			t.Errorf("it is %v, %v", info.Mode(), err)
		}
		if _, err := Listen(path, "games"); !errdefs.IsUnavailable(err) {
			t.Errorf("beside another: %v", err)
		}
		_ = listener.Close()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside it lies %v, %v", left, err)
	}
	if _, err := Listen(path, "no-such-group"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "groupadd") {
		t.Errorf("without the group: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, "games"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("in the place of a file: %v", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is the test
		t.Fatal(err)
	}
	if _, err := Listen(path, "games"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("where everybody may write: %v", err)
	}
}
