package change

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// elsewhere is the work as a process knows it that can't read the state directory.
func (b *bottle) elsewhere() *backend.Work {
	known := *b.work
	known.State = ""
	return &known
}

// open looks at the work, from far if need be.
func (b *bottle) open(ctx context.Context) (*View, error) {
	view, err := Open(ctx, b.work)
	if err != nil || !b.far {
		return view, err
	}
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = view.Tell(ctx, there)
		view.Close()
		_ = there.Close()
	}()
	b.Cleanup(func() { _ = here.Close(); <-ended })
	return Hear(ctx, b.elsewhere(), here, func(ctx context.Context, states []State) error { return Settle(ctx, b.work, states) })
}

// bothWays runs a test near to the state directory, and far from it.
func bothWays(t *testing.T, test func(t *testing.T, far bool)) {
	t.Run("near", func(t *testing.T) { test(t, false) })
	t.Run("far", func(t *testing.T) { test(t, true) })
}

// TestWhatIsToldIsWhatIsThere compares what is shown with and without the state directory,
// for contents, links, names and sizes of all kinds.
func TestWhatIsToldIsWhatIsThere(t *testing.T) {
	b := newProject(t)
	b.far = true
	b.put("tracked", lines())
	b.put("touched", lines())
	b.put("not-\xff-utf8", "1\n")
	b.put(".gitignore", "ignored\n")
	must(t, os.Symlink("tracked", filepath.Join(b.project, "link")))
	b.commit()
	b.put("ignored", lines())
	b.put("dirty", "never committed\n")
	b.launch()
	if kept, err := filepath.Glob(filepath.Join(b.work.Path(backend.StateBase), baseFiles, "*")); err != nil || len(kept) != 2 {
		t.Errorf("copied are %v, %v: what the repository has needs no copy", kept, err)
	}
	for _, name := range []string{"tracked", "ignored", "dirty", "new", "not-\xff-utf8"} {
		b.edit(name, lines(4))
	}
	must(t, os.Chtimes(b.inside("touched"), time.Unix(1, 0), time.Unix(1, 0)))
	must(t, os.Remove(b.inside("link")))
	must(t, os.Symlink("/etc/shadow", b.inside("link")))
	must(t, unix.Mkfifo(b.inside("fifo"), 0o600))
	write(t, b.inside("sub/HEAD"), "ref: x\n")
	write(t, b.inside("sub/objects/x"), "x")
	write(t, b.inside("sub/refs/x"), "x")

	far, hidden := b.patch()
	refused := told(b.offer(Target{Into: t.TempDir()}).Refused)
	b.far = false
	near, alsoHidden := b.patch()
	if far != near || !slices.Equal(told(hidden), told(alsoHidden)) {
		t.Errorf("from far it is\n%s%q\nand near\n%s%q", far, told(hidden), near, told(alsoHidden))
	}
	if !strings.Contains(far, "-line 4\n+changed 4\n") {
		t.Errorf("what went in is not shown:\n%s", far)
	}
	if want := told(b.offer(Target{Into: t.TempDir()}).Refused); !slices.Equal(refused, want) {
		t.Errorf("refused from far is %q, near %q", refused, want)
	}
}

// TestTConfusedDeputy_AQuestionGetsNothingButTheView: who asks names no file, only changes by their
// numbers, and what is in the user's own repository is not looked for.
func TestTConfusedDeputy_AQuestionGetsNothingButTheView(t *testing.T) {
	b := newProject(t)
	b.put("tracked", "went in\n")
	b.commit()
	b.launch()
	b.edit("tracked", "changed\n")
	for _, question := range []string{`{"at":[1]}`, `{"at":[-1]}`, `{"at":["../../plan.json"]}`, `x`} {
		view, err := Open(t.Context(), b.work)
		must(t, err)
		answers := &said{Reader: strings.NewReader(question)}
		if err := view.Tell(t.Context(), answers); err == nil {
			t.Errorf("%s is answered", question)
		}
		view.Close()
	}
	view, err := Open(t.Context(), b.work)
	must(t, err)
	defer view.Close()
	answers := &said{Reader: strings.NewReader(`{"before":true,"at":[0]}`)}
	must(t, view.Tell(t.Context(), answers))
	if strings.Contains(answers.text.String(), "went in\n") || !strings.Contains(answers.text.String(), absentPrefix) {
		t.Errorf("of the repository it is told:\n%q", answers.text.String())
	}
}

type said struct {
	io.Reader
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) { return s.text.Write(p) }

// TestWhatBreaksOffIsNotTakenForWhole: half an answer changes nothing.
func TestWhatBreaksOffIsNotTakenForWhole(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.commit()
	b.launch()
	b.edit("file", "2\n")
	// A change whose contents do not come.
	const change = `{"changes":[{"path":"file","kind":"modified","oldMode":"100644","mode":"100644","name":"ZmlsZQ==","state":"","after":true}]}`
	for _, answer := range []string{"", "{", change + "\n" + strings.Repeat("\x00", 1024)} {
		here, there := net.Pipe()
		go func() {
			_, _ = io.WriteString(there, answer)
			_, _ = io.Copy(io.Discard, there)
		}()
		b.Cleanup(func() { _, _ = here.Close(), there.Close() })
		if answer == "" || answer == "{" {
			_ = there.Close()
		}
		_, err := Prepare(t.Context(), b.elsewhere(), Target{Area: filepath.Join(t.TempDir(), "area"), Open: func(ctx context.Context) (*View, error) {
			return Hear(ctx, b.elsewhere(), here, nil)
		}, Paths: []string{"file"}})
		if err == nil || b.host("file") != "1\n" {
			t.Errorf("after %q: %v", answer, err)
		}
	}
}

// TestT13NoBottleWritesWhatAnApplyGoesBy: where the user's own part of an apply lies below the
// destination, nothing of a bottle's gets there.
func TestT13NoBottleWritesWhatAnApplyGoesBy(t *testing.T) {
	b := newProject(t)
	b.far = true
	b.commit()
	b.launch()
	home := t.TempDir()
	b.edit("Area/other/journal.json", "{}")
	b.edit("fine", "1\n")
	offer, err := Prepare(t.Context(), b.elsewhere(), Target{Into: home, Area: filepath.Join(home, "area", "b-1"), Open: b.open})
	must(t, err)
	defer offer.Close()
	if got := told(offer.Refused); len(got) != 1 || !strings.HasSuffix(got[0], "an apply keeps its own there") || len(offer.Steps) != 1 {
		t.Errorf("refused are %q, steps %q", got, actions(offer))
	}
	own := filepath.Join(home, "area")
	if _, err := Prepare(t.Context(), b.elsewhere(), Target{Into: own, Area: filepath.Join(own, "b-2"), Open: b.open}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("into where applies keep their own: %v", err)
	}
}

// TestOnlyWhatIsAsItWasSaidToBeIsSettled: a file that was changed since, or that is said
// to be in another state, stays unsaved, and git's own is never settled so.
func TestOnlyWhatIsAsItWasSaidToBeIsSettled(t *testing.T) {
	b := newProject(t)
	b.commit()
	b.launch()
	for _, name := range []string{"same", "since", "made-up", ".git/refs/heads/x"} {
		b.edit(name, "work\n")
	}
	mark, err := ledger.Now(t.Context(), b.work)
	must(t, err)
	b.edit("since", "more work\n")
	var states []State
	for _, name := range []string{"same", "since", ".git/refs/heads/x"} {
		states = append(states, State{[]byte(name), mark[name]})
	}
	states = append(states, State{[]byte("made-up"), "100644,5,1,1.0,1.0"}, State{[]byte("../../plan.json"), ""})
	sent, err := json.Marshal(states)
	must(t, err)
	states = nil
	must(t, json.Unmarshal(sent, &states))
	must(t, Settle(t.Context(), b.work, states))
	saved, err := ledger.Saved(b.work)
	must(t, err)
	now, err := ledger.Now(t.Context(), b.work)
	must(t, err)
	var open []string
	for _, path := range changedPaths(saved, now) {
		if now[path] != archive.StateDirectory {
			open = append(open, path)
		}
	}
	if !slices.Equal(open, []string{".git/refs/heads/x", "made-up", "since"}) || saved["../../plan.json"] != "" {
		t.Errorf("unsaved are %q", open)
	}
}
