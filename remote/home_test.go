package remote

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/hostgit"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
)

// keptLamp is the backend of a user with one kept bottle, in a directory of the test.
type keptLamp struct {
	fakeBackend

	testing.TB
	kept    *backend.Work
	project string
	taken   int // how often it is held now
	forked  []string
}

func newKeptLamp(t testing.TB) *keptLamp {
	t.Helper()
	dir := t.TempDir()
	b := &keptLamp{TB: t, project: filepath.Join(dir, "project")}
	b.kept = &backend.Work{
		ID: backend.ID{Name: "lamp", Suffix: "abcde"}, State: filepath.Join(dir, "lib", "lamp-abcde"),
		Plan: &backend.Plan{From: &backend.Origin{Path: b.project}, Runtime: backend.PlanRuntime{Name: "gvisor"}},
	}
	for _, path := range []string{b.project, b.kept.Place(backend.PlaceWorkspace)} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.put(b.project, "wick", "dry\n")
	b.put(b.workspace(), "wick", "dry\n")
	if err := errors.Join(change.KeepBase(t.Context(), b.kept, change.Known{}), ledger.Begin(t.Context(), b.kept)); err != nil {
		t.Fatal(err)
	}
	b.put(b.workspace(), "wick", "lit\n")
	b.put(b.workspace(), "flame", "new\n")
	return b
}

func (b *keptLamp) workspace() string { return b.kept.Place(backend.PlaceWorkspace) }

func (b *keptLamp) put(dir, name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *keptLamp) unsaved() []string {
	b.Helper()
	unsaved, err := work.Unsaved(b.Context(), b.kept)
	if err != nil {
		b.Fatal(err)
	}
	return unsaved.Paths
}

func (b *keptLamp) Find(_ context.Context, name string) (*backend.Work, error) {
	if name != "lamp" && name != "lamp@abcde" {
		return nil, errdefs.ErrNotFound
	}
	found := *b.kept
	return &found, nil
}

func (b *keptLamp) Take(context.Context, *backend.Work) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken > 0 {
		return nil, errdefs.ErrUnavailable
	}
	b.taken++
	return func() { b.mu.Lock(); b.taken--; b.mu.Unlock() }, nil
}

func (b *keptLamp) Fork(_ context.Context, of *backend.Work, name string) (*backend.Work, error) {
	b.log(&b.forked, of.ID.Handle()+" "+name)
	return &backend.Work{ID: backend.ID{Name: name, Suffix: "fghij"}, State: "/root/" + name}, nil
}

// Enter is a helper whose supervisor refuses everything.
func (b *keptLamp) Enter(ctx context.Context, _ *backend.Work) (backend.Inside, error) {
	release, err := b.Take(ctx, nil)
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	link, err := neck.Server(there)
	if err != nil {
		return nil, err
	}
	go func() {
		_ = link.Serve(b.Context(), neck.Bounds{Streams: 1, Request: 1 << 10}, func(_ context.Context, _ neck.Request, stream neck.Stream) {
			_ = stream.Refuse(errors.New("asked inside"))
		})
	}()
	client, err := supervise.NewClient(here)
	return &fakeInside{client: client, leave: func() { release(); _ = link.Close() }}, err
}

type fakeInside struct {
	backend.Inside

	client *supervise.Client
	leave  func()
}

func (i *fakeInside) Supervisor() *supervise.Client { return i.client }

func (i *fakeInside) Close(context.Context) error {
	i.client.Close()
	i.leave()
	return nil
}

// dialLamp is a user's client of it.
func dialLamp(t *testing.T, b *keptLamp) (*Client, *backend.Work, *user) {
	t.Helper()
	path, server, _ := serve(t, b, nil)
	client, err := Dial(t.Context(), path, backend.NoProgress{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	found, err := client.Find(t.Context(), "lamp")
	if err != nil || found.State != "" || found.Plan.Workspace == nil || found.Plan.Workspace.Path != b.project {
		t.Fatalf("found is %+v, %v", found, err)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	return client, found, server.users[uint32(os.Geteuid())]
}

// TestWorkIsAppliedOverTheSocket: the files are the user's process's to write, and only what
// was put there counts as saved.
func TestWorkIsAppliedOverTheSocket(t *testing.T) {
	b := newKeptLamp(t)
	client, found, _ := dialLamp(t, b)
	view, err := client.View(t.Context(), found, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var patch strings.Builder
	if _, err := view.Patch(t.Context(), &patch, nil); err != nil || !strings.Contains(patch.String(), "-dry\n+lit\n") || !strings.Contains(patch.String(), "+new\n") {
		t.Errorf("it shows %s, %v", patch.String(), err)
	}
	view.Close()
	area := filepath.Join(t.TempDir(), "apply")
	offer, err := change.Prepare(t.Context(), found, change.Target{Area: area, Paths: []string{"wick"}, Open: func(ctx context.Context) (*change.View, error) {
		return client.View(ctx, found, nil, true)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := offer.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	offer.Close()
	if data, err := os.ReadFile(filepath.Join(b.project, "wick")); err != nil || string(data) != "lit\n" {
		t.Errorf("it holds %q, %v", data, err)
	}
	if got := b.unsaved(); !slices.Equal(got, []string{"flame"}) {
		t.Errorf("unsaved are %q", got)
	}
	if _, err := os.Lstat(area); err == nil {
		t.Error("an apply that has ended leaves its directory")
	}
}

// TestTheBooksAreKeptOverTheSocket: what is said to have come home is taken for no file that
// does not hold those bytes, and the hold ends with the link.
func TestTheBooksAreKeptOverTheSocket(t *testing.T) {
	b := newKeptLamp(t)
	client, found, _ := dialLamp(t, b)
	object, err := hostgit.BlobName(strings.NewReader("new\n"), 4, 40)
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.AddTips(b.kept, []string{object}); err != nil {
		t.Fatal(err)
	}
	inside, err := client.Enter(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Enter(t.Context(), found); !errdefs.IsUnavailable(err) {
		t.Errorf("beside another it is entered: %v", err)
	}
	books := inside.(fetch.Books) //nolint:forcetypeassert,errcheck // that is the test
	home := fetch.Home{Objects: []string{strings.Repeat("1", 40)}, Tree: map[string]fetch.Entry{
		"flame": {Mode: "100644", Object: object}, "wick": {Mode: "100644", Object: object}, "../plan.json": {Mode: "100644", Object: object},
	}}
	if _, err := books.Settle(t.Context(), home); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("settled without a mark: %v", err)
	}
	if err := books.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(b.kept.Path("mark-*")); len(left) > 0 || err != nil {
		t.Errorf("the mark has a name: %v, %v", left, err)
	}
	for _, lie := range []fetch.Home{{Objects: []string{"--all"}}, {Tree: map[string]fetch.Entry{"wick": {Object: "HEAD"}}}} {
		if _, err := books.Settle(t.Context(), lie); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v is taken: %v", lie, err)
		}
	}
	left, err := books.Settle(t.Context(), home)
	if err != nil || left.Files != 1 || !slices.Equal(left.Paths, []string{"wick"}) || !slices.Equal(b.unsaved(), []string{"wick"}) {
		t.Errorf("left is %+v, %v; unsaved %q", left, err, b.unsaved())
	}
	if tips, err := books.Tips(t.Context()); err != nil || len(tips) != 2 || !tips[object] {
		t.Errorf("tips are %v, %v", tips, err)
	}
	if _, err := inside.Exec(t.Context(), []string{"true"}, nil, backend.Terminal{}); err == nil || !strings.Contains(err.Error(), "asked inside") {
		t.Errorf("a command does not get inside: %v", err)
	}
	if err := inside.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if inside, err = client.Enter(t.Context(), found); err != nil {
		t.Fatalf("the hold is not gone: %v", err)
	}
	if err := inside.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNothingButOnesOwnIsReachedOnTheWayHome: no request names what is not the user's.
func TestNothingButOnesOwnIsReachedOnTheWayHome(t *testing.T) {
	b := newKeptLamp(t)
	client, found, u := dialLamp(t, b)
	for _, row := range []struct {
		kind neck.Kind
		body any
		is   func(error) bool
	}{
		{kindEnter, entering{Name: "other"}, errdefs.IsNotFound},
		{kindEnter, entering{Name: "lamp", Pristine: true}, errdefs.IsNotImplemented},
		{kindView, viewing{Name: "other"}, errdefs.IsNotFound},
		{kindView, viewing{Name: "lamp", Against: "other"}, errdefs.IsNotFound},
		{kindView, map[string]string{"name": "lamp", "state": "/root"}, errdefs.IsInvalidArgument},
		{kindCame, named{"other"}, errdefs.IsNotFound},
		{kindFork, forking{Name: "other", As: "mine"}, errdefs.IsNotFound},
		{kindFork, forking{Name: "lamp", As: "../mine"}, errdefs.IsInvalidArgument},
		{kindTips, nil, errdefs.IsNotImplemented},
		{kindSettle, nil, errdefs.IsNotImplemented},
	} {
		var answer json.RawMessage
		if err := client.ask(t.Context(), row.kind, row.body, &answer); !row.is(err) {
			t.Errorf("%s %+v: %v", row.kind, row.body, err)
		}
	}
	if err := client.transfer(t.Context(), kindKnown, named{"lamp"}, neck.SessionIO{In: strings.NewReader("x"), Out: &strings.Builder{}, Err: &strings.Builder{}}); err == nil {
		t.Error("a bottle that is not launched is told what is known of it")
	}
	made, err := client.Fork(t.Context(), found, "mine")
	if err != nil || made.Handle() != "mine@fghij" || made.State != "" || !slices.Equal(b.forked, []string{"lamp@abcde mine"}) {
		t.Errorf("the fork is %+v, %v; forked are %q", made, err, b.forked)
	}
	if b.taken != 0 || len(u.launches()) != 0 {
		t.Errorf("held are %d, counted %v", b.taken, u.launches())
	}
}
