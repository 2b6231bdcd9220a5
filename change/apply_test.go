package change

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// actions are what an offer would do.
func actions(offer *Offer) []string {
	var list []string
	for _, step := range offer.Steps {
		list = append(list, string(step.Action)+" "+step.Path)
	}
	for _, conflict := range offer.Conflicts {
		list = append(list, "conflict "+conflict.Path)
	}
	for _, same := range offer.Same {
		list = append(list, "same "+same)
	}
	return list
}

func lines(changed ...int) string {
	var b strings.Builder
	for i := range 20 {
		if slices.Contains(changed, i) {
			fmt.Fprintf(&b, "changed %d\n", i)
		} else {
			fmt.Fprintf(&b, "line %d\n", i)
		}
	}
	return b.String()
}

// divergent is a bottle and a project that have both moved on.
func divergent(t *testing.T, far bool) *bottle {
	b := newProject(t)
	b.far = far
	for _, name := range []string{"taken", "same", "merged", "removed", "script", "both-gone", "kept", "executable"} {
		b.put(name, lines())
	}
	b.put("dir/sub/file", "1\n")
	must(t, os.Chmod(filepath.Join(b.project, "kept"), 0o640))
	must(t, os.Chmod(filepath.Join(b.project, "executable"), 0o755))
	b.commit()
	b.launch()
	for _, name := range []string{"taken", "same", "kept", "executable"} {
		b.edit(name, lines(3))
	}
	b.edit("merged", lines(3))
	b.put("merged", lines(15))
	b.put("same", lines(3))
	must(t, os.Remove(b.inside("removed")))
	must(t, os.RemoveAll(b.inside("dir")))
	must(t, os.Chmod(b.inside("script"), 0o755))
	b.put("script", lines(7))
	for _, path := range []string{b.inside("both-gone"), filepath.Join(b.project, "both-gone")} {
		must(t, os.Remove(path))
	}
	b.edit("new/deep/file", "new\n")
	must(t, os.Symlink("deep/file", b.inside("new/link")))
	return b
}

func TestApplyJoinsBothEnds(t *testing.T) { bothWays(t, applyJoinsBothEnds) }

func applyJoinsBothEnds(t *testing.T, far bool) {
	b := divergent(t, far)
	offer := b.offer(Target{})
	want := "write executable, write kept, merge merged, create new/deep/file, create new/link, remove dir/sub/file, remove removed, chmod script, write taken, same both-gone, same same"
	got := actions(offer)
	if slices.Sort(got); strings.Join(got, ", ") != strings.Join(sorted(want), ", ") {
		t.Fatalf("offer is %q", got)
	}
	var shown strings.Builder
	for _, step := range offer.Steps {
		must(t, offer.Show(t.Context(), &shown, step))
	}
	for _, part := range []string{"+++ b/merged\n@@", "+changed 3\n", "old mode 100644\nnew mode 100755\n", "--- a/removed\n+++ /dev/null\n", "new file mode 120000"} {
		if !strings.Contains(shown.String(), part) {
			t.Errorf("no %q is shown", part)
		}
	}
	must(t, offer.Apply(t.Context()))
	for name, text := range map[string]string{
		"taken": lines(3), "merged": lines(3, 15), "removed": "", "script": lines(7), "new/deep/file": "new\n", "new/link": "new\n", "dir/sub/file": "",
	} {
		if got := b.host(name); got != text {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, mode := range map[string]os.FileMode{"script": 0o755, "kept": 0o640, "executable": 0o755, "new/deep/file": 0o644, "new/deep": 0o755} {
		if info, err := os.Stat(filepath.Join(b.project, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), mode, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(b.project, "dir")); err == nil {
		t.Error("an empty directory is left")
	}
	offer.Close()
	b.leftNothing()
	b.nothingUnsaved()
	again := b.offer(Target{})
	if len(again.Steps) != 0 || len(again.Conflicts) != 0 {
		t.Errorf("applied again it is %q", actions(again))
	}
}

func sorted(list string) []string {
	parts := strings.Split(list, ", ")
	slices.Sort(parts)
	return parts
}

// leftNothing says that an apply has left nothing of its own.
func (b *bottle) leftNothing() {
	b.Helper()
	left, _ := filepath.Glob(filepath.Join(b.project, stagingPrefix+"*"))
	kept, _ := filepath.Glob(b.work.Path(backend.StateApply + "/*"))
	if len(left) > 0 || len(kept) > 1 {
		b.Errorf("left are %v and %v", left, kept)
	}
}

// nothingUnsaved says that all work, but for that in .git, is at home.
func (b *bottle) nothingUnsaved() {
	b.Helper()
	if unsaved := b.unsaved(); len(unsaved) > 0 {
		b.Errorf("unsaved are %q", unsaved)
	}
}

func (b *bottle) unsaved() []string {
	b.Helper()
	file, err := os.Open(b.work.Path(backend.StateSaved))
	must(b.T, err)
	defer func() { _ = file.Close() }()
	root, err := os.OpenRoot(b.work.Place(backend.PlaceWorkspace))
	must(b.T, err)
	defer func() { _ = root.Close() }()
	known, err := archive.ReadBaseline(file)
	must(b.T, err)
	var paths []string
	must(b.T, archive.Differ(b.Context(), root, known, func(path string) { paths = append(paths, path) }))
	return paths
}

func TestAConflictWritesNothing(t *testing.T) {
	b := newProject(t)
	for _, name := range []string{"text", "gone-here", "gone-there", "binary", "fine", "link"} {
		b.put(name, lines())
	}
	b.put("d/file", "1\n")
	b.commit()
	b.launch()
	b.edit("text", lines(3))
	b.put("text", lines(4))
	b.edit("binary", "\x00\x01")
	b.put("binary", "\x00\x02")
	b.edit("gone-here", lines(1))
	must(t, os.Remove(filepath.Join(b.project, "gone-here")))
	must(t, os.Remove(b.inside("gone-there")))
	b.put("gone-there", lines(1))
	b.edit("new", "theirs\n")
	b.put("new", "mine\n")
	b.edit("fine", lines(1))
	b.edit("d/file", "2\n")
	must(t, os.RemoveAll(filepath.Join(b.project, "d")))
	must(t, os.Symlink("/etc", filepath.Join(b.project, "d")))
	must(t, os.Remove(b.inside("link")))
	must(t, os.Symlink("fine", b.inside("link")))
	b.put("link", "mine\n")
	before := snapshot(t, b.project)
	offer := b.offer(Target{})
	if got := strings.Join(actions(offer), ", "); got != "write fine, conflict binary, conflict d/file, conflict gone-here, conflict gone-there, conflict link, conflict new, conflict text" {
		t.Errorf("offer is %s", got)
	}
	err := offer.Apply(t.Context())
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "text") || !strings.Contains(err.Error(), "claude-bottle merge b@1") {
		t.Errorf("error is %v", err)
	}
	if after := snapshot(t, b.project); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("something was written")
	}
	offer.Close()
	must(t, b.apply("fine"))
	if b.host("fine") != lines(1) || !slices.Contains(b.unsaved(), "text") || slices.Contains(b.unsaved(), "fine") {
		t.Errorf("unsaved are %q", b.unsaved())
	}
}

func TestApplyElsewhere(t *testing.T) {
	b := newProject(t)
	b.put("changed", "1\n")
	b.put("removed", "1\n")
	b.commit()
	b.launch()
	b.edit("changed", "2\n")
	b.edit("dir/new", "2\n")
	must(t, os.Remove(b.inside("removed")))
	into := t.TempDir()
	offer := b.offer(Target{Into: into})
	must(t, offer.Apply(t.Context()))
	offer.Close()
	if got := snapshot(t, into); got["changed"] != "-rw-r--r-- 2\n" || got["dir/new"] != "-rw-r--r-- 2\n" {
		t.Errorf("there is %v", got)
	}
	for _, bad := range []string{b.inside("."), filepath.Dir(b.work.State), b.work.State} {
		if _, err := Prepare(t.Context(), b.work, Target{Into: bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("into %s: %v", bad, err)
		}
	}
	if _, err := Prepare(t.Context(), b.work, Target{Paths: []string{"../x"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("error is %v", err)
	}
	if _, err := Prepare(t.Context(), b.work, Target{Paths: []string{"none"}}); !errdefs.IsNotFound(err) {
		t.Errorf("error is %v", err)
	}
	b.work.Plan.Workspace = nil
	if _, err := Prepare(t.Context(), b.work, Target{}); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "--into") {
		t.Errorf("error is %v", err)
	}
}

func TestNewFilesBelongToTheOwnerOfTheDestination(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	b := newProject(t)
	b.put("theirs", "1\n")
	b.put("setuid", "1\n")
	b.launch()
	must(t, os.Lchown(b.project, 4001, 4002))
	must(t, os.Lchown(filepath.Join(b.project, "theirs"), 4003, 4004))
	must(t, os.Chmod(filepath.Join(b.project, "setuid"), 0o755|os.ModeSetuid))
	b.edit("theirs", "2\n")
	b.edit("setuid", "2\n")
	b.edit("dir/new", "2\n")
	must(t, os.Chmod(b.inside("dir/new"), 0o777|os.ModeSetuid))
	must(t, b.apply())
	for name, want := range map[string]string{"theirs": "4003 4004 100644", "dir": "4001 4002 40755", "dir/new": "4001 4002 100755", "setuid": "0 0 100755"} {
		var stat unix.Stat_t
		must(t, unix.Lstat(filepath.Join(b.project, name), &stat))
		if got := fmt.Sprintf("%d %d %o", stat.Uid, stat.Gid, stat.Mode); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// A file may come where a directory was, and the other way round.
func TestFilesAndDirectoriesChangePlaces(t *testing.T) {
	b := newProject(t)
	b.put("to-file/a/b", "1\n")
	b.put("to-directory", "1\n")
	b.put("occupied/a", "1\n")
	b.commit()
	b.launch()
	must(t, os.RemoveAll(b.inside("to-file")))
	b.edit("to-file", "2\n")
	must(t, os.Remove(b.inside("to-directory")))
	b.edit("to-directory/a/b", "2\n")
	must(t, b.apply())
	if b.host("to-file") != "2\n" || b.host("to-directory/a/b") != "2\n" {
		t.Error(snapshot(t, b.project))
	}
	must(t, os.RemoveAll(b.inside("occupied")))
	b.edit("occupied", "2\n")
	b.put("occupied/of-mine", "3\n")
	before := snapshot(t, b.project)
	err := b.apply("occupied")
	if err == nil || !strings.Contains(err.Error(), "occupied") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("error is %v", err)
	}
	if after := snapshot(t, b.project); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("it is %v", after)
	}
	b.leftNothing()
}

func TestT18_LinksAtTheDestinationAreNotFollowed(t *testing.T) {
	b := newProject(t)
	b.launch()
	outside := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(b.project, "out")))
	must(t, os.Mkdir(filepath.Join(b.project, "inside"), 0o755))
	must(t, os.Symlink("inside", filepath.Join(b.project, "in")))
	b.edit("out/file", "1\n")
	b.edit("in/file", "1\n")
	for name, target := range map[string]string{
		"absolute": "/etc/shadow", "climbs": "../../etc/shadow", "zigzag": "dir/../../x", "deep/zigzag": "../in/../../x", "git": ".git/hooks", "deep/good": "../inside", "good": "deep/x",
	} {
		b.edit("deep/x", "")
		must(t, os.Symlink(target, b.inside(name)))
	}
	offer := b.offer(Target{})
	var refused []string
	for _, each := range offer.Refused {
		refused = append(refused, each.Path)
	}
	if got := strings.Join(refused, " "); got != "absolute climbs deep/zigzag git zigzag" {
		t.Errorf("refused are %s", got)
	}
	if got := strings.Join(actions(offer), ", "); got != "create deep/good, create deep/x, create good, conflict in/file, conflict out/file" {
		t.Errorf("offer is %s", got)
	}
	must(t, b.offerOf(offer, "deep", "good").Apply(t.Context()))
	if names, _ := os.ReadDir(outside); len(names) != 0 {
		t.Errorf("outside are %v", names)
	}
}

// offerOf is another offer, of some paths alone.
func (b *bottle) offerOf(before *Offer, paths ...string) *Offer {
	before.Close()
	return b.offer(Target{Paths: paths})
}

func TestT20_LookalikesOfGitAreRefused(t *testing.T) {
	b := newProject(t)
	b.put("a", "1\n")
	b.commit()
	b.launch()
	names := []string{
		".GIT/config", ".Git", ".git./config", ".git /config", ".git . ./x", "git~1/hooks/x", "GIT~1", "sub/.gIt/config", ".g\u200cit/config", "\ufeff.git/x",
		".gi\u202et/x", `.git\config`, `sub\.git\config`, ".git::$INDEX_ALLOCATION/config", ".git:x", ".claude-bottle-apply-x/new-1", ".Claude-Bottle-Apply-x",
	}
	for _, name := range names {
		b.edit(name, "x\n")
	}
	b.edit("fine/git~2", "1\n")
	b.edit("fine/.gitx", "1\n")
	b.edit("nested/.git/config", "x\n")
	offer := b.offer(Target{})
	refused := map[string]bool{}
	for _, each := range offer.Refused {
		refused[each.Path] = each.Note != ""
	}
	for _, name := range append(names, "nested/.git") {
		if !refused[name] {
			t.Errorf("%q is not refused", name)
		}
	}
	if got := strings.Join(actions(offer), ", "); got != "create fine/.gitx, create fine/git~2" {
		t.Errorf("offer is %s", got)
	}
	must(t, offer.Apply(t.Context()))
	if names, _ := filepath.Glob(filepath.Join(b.project, "*")); len(names) != 3 {
		t.Errorf("there are %q", names)
	}
}
