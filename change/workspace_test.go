package change

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
)

// bottle is a project and a bottle that was launched on it.
type bottle struct {
	*testing.T
	project string
	work    *backend.Work
	// far says that a process which can't read the state directory does it all.
	far bool
}

// newProject makes a directory that is no repository yet.
func newProject(t *testing.T) *bottle {
	t.Helper()
	return newProjectIn(t, t.TempDir())
}

func newProjectIn(t *testing.T, dir string) *bottle {
	t.Helper()
	b := &bottle{T: t, project: filepath.Join(dir, "project"), work: &backend.Work{ID: backend.ID{Name: "b", Suffix: "1"}, State: filepath.Join(dir, "lib", "b-1")}}
	for _, path := range []string{b.project, b.work.State} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.work.Plan = &backend.Plan{Workspace: &backend.WorkTree{Path: b.project}}
	return b
}

// put writes a file of the project.
func (b *bottle) put(name, text string) { b.Helper(); write(b.T, filepath.Join(b.project, name), text) }

// edit writes a file of the workspace.
func (b *bottle) edit(name, text string) { b.Helper(); write(b.T, b.inside(name), text) }

func (b *bottle) inside(name string) string {
	return filepath.Join(b.work.Place(backend.PlaceWorkspace), name)
}

// host reads a file of the project; "" is one that is not there.
func (b *bottle) host(name string) string {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.project, name))
	if err != nil && !missing(err) {
		b.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// git runs git in the project.
func (b *bottle) git(args ...string) string { b.Helper(); return git(b.T, b.project, args...) }

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=user.name", "GIT_CONFIG_VALUE_0=a", "GIT_CONFIG_KEY_1=user.email", "GIT_CONFIG_VALUE_1=a@b")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, output)
	}
	return string(output)
}

// commit makes the project a repository with all that is in it.
func (b *bottle) commit() {
	b.Helper()
	b.git("init", "-q", "-b", "main")
	b.git("add", "-A")
	b.git("commit", "-q", "--allow-empty", "-m", "first")
}

// launch copies the project in, as a launch does.
func (b *bottle) launch() {
	b.Helper()
	root, err := os.OpenRoot(b.project)
	must(b.T, err)
	b.Cleanup(func() { _ = root.Close() })
	tree := backend.NewWorkTree(*b.work.Plan.Workspace, root)
	all := func(archive.Entry) error { return nil }
	if !b.far {
		must(b.T, WriteBase(b.Context(), b.work.State, tree, all))
	}
	workspace := b.work.Place(backend.PlaceWorkspace)
	must(b.T, os.Mkdir(workspace, 0o700))
	from, err := os.Open(b.project)
	must(b.T, err)
	to, err := os.Open(workspace)
	must(b.T, err)
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(archive.Pack(b.Context(), writer, from, archive.PackOptions{})) }()
	_, err = archive.Extract(b.Context(), to, reader, archive.Options{UID: os.Geteuid(), GID: os.Getegid()})
	must(b.T, err)
	_, _ = from.Close(), to.Close()
	if b.far {
		var sent strings.Builder
		must(b.T, WriteKnown(b.Context(), &sent, tree, all))
		known, err := ReadKnown(strings.NewReader(sent.String()))
		must(b.T, err)
		must(b.T, KeepBase(b.Context(), b.work, known))
	}
	b.baseline()
}

// baseline notes what the workspace holds now.
func (b *bottle) baseline() {
	b.Helper()
	must(b.T, ledger.Begin(b.Context(), b.work))
}

// changes are the kinds and paths, with notes.
func (b *bottle) changes() []string {
	b.Helper()
	view, err := Open(b.Context(), b.work)
	must(b.T, err)
	defer view.Close()
	changes := view.List()
	must(b.T, err)
	return told(changes)
}

func told(changes []Change) []string {
	list := make([]string, len(changes))
	for i, change := range changes {
		list[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s", change.Kind, change.Path, change.Note))
	}
	return list
}

func (b *bottle) wantChanges(want ...string) {
	b.Helper()
	if got := b.changes(); !slices.Equal(got, want) {
		b.Errorf("changes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// patch is what diff prints.
func (b *bottle) patch(paths ...string) (string, []Change) {
	b.Helper()
	view, err := b.open(b.Context())
	must(b.T, err)
	defer view.Close()
	var text strings.Builder
	hidden, err := view.Patch(b.Context(), &text, paths)
	must(b.T, err)
	return text.String(), hidden
}

// offer is what apply would do.
func (b *bottle) offer(target Target) *Offer {
	b.Helper()
	work := b.work
	if b.far {
		work = b.elsewhere()
		target.Area, target.Open = filepath.Join(filepath.Dir(b.project), "own", "area"), b.open
	}
	offer, err := Prepare(b.Context(), work, target)
	must(b.T, err)
	b.Cleanup(offer.Close)
	return offer
}

// apply does all that can be done.
func (b *bottle) apply(paths ...string) error {
	b.Helper()
	offer := b.offer(Target{Paths: paths})
	defer offer.Close()
	return offer.Apply(b.Context())
}

// snapshot is everything that a directory holds, but for a repository's own.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(dir, path)
		info, err := entry.Info()
		if err != nil || relative == ".git" {
			return filepath.SkipDir
		}
		all[relative] = info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			all[relative] += " " + string(data)
			return err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			all[relative] += " " + target
			return err
		}
		return nil
	}))
	return all
}
