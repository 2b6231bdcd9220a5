package change

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// canary is a file of the host that a link of the agent's points to.
func canary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shadow")
	write(t, path, "root:canary-of-the-host:1\n")
	return path
}

func TestT18_HostileFilesAreShownAndNeverFollowed(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.put("dir/file", "1\n")
	b.commit()
	b.launch()
	shadow := canary(t)
	must(t, os.Remove(b.inside("file")))
	must(t, os.Symlink(shadow, b.inside("file")))
	must(t, os.RemoveAll(b.inside("dir")))
	must(t, os.Symlink(filepath.Dir(shadow), b.inside("dir")))
	must(t, os.Symlink(shadow, b.inside("new")))
	must(t, unix.Mkfifo(b.inside("fifo"), 0o600))
	must(t, unix.Mknod(b.inside("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	b.edit("names/\x1b]0;title\x07", "1\n")
	b.edit("names/two\nlines", "2\n")
	b.edit("names/\u202egnp.exe", "3\n")
	b.edit("names/\xff\xfe", "4\n")
	b.edit(`names/with "quotes" and \`, "5\n")
	b.edit("names/ends with space ", "6\n")
	b.edit("names/=> b", "7\n")
	patch, hidden := b.patch()
	if strings.Contains(patch, "canary-of-the-host") {
		t.Errorf("the link was followed:\n%s", patch)
	}
	for _, want := range []string{
		"+" + shadow, `+++ "b/names/\033]0;title\a"`, `+++ "b/names/two\nlines"`, `+++ "b/names/\342\200\256gnp.exe"`, `+++ "b/names/\377\376"`,
		`+++ "b/names/with \"quotes\" and \\"`, "+++ b/names/ends with space \t\n", "+++ b/names/=> b\t\n", "deleted file mode 100644",
	} {
		if !strings.Contains(patch, want) {
			t.Errorf("no %q in the patch", want)
		}
	}
	if names := told(hidden); len(names) != 2 || !strings.Contains(names[0], "device") || !strings.Contains(names[1], "FIFO") {
		t.Errorf("hidden are %q", names)
	}
	into := t.TempDir()
	offer := b.offer(Target{Into: into})
	must(t, offer.Apply(t.Context()))
	for _, name := range []string{"file", "dir", "new", "fifo", "device"} {
		if _, err := os.Lstat(filepath.Join(into, name)); err == nil {
			t.Errorf("%s came home", name)
		}
	}
	if names, err := os.ReadDir(filepath.Join(into, "names")); err != nil || len(names) != 7 {
		t.Errorf("names that came home are %v, %v", names, err)
	}
	if len(offer.Refused) != 5 {
		t.Errorf("refused are %q", told(offer.Refused))
	}
}

// What git diff prints can be given to git apply, whatever the files are called.
func TestAPatchAppliesWithGit(t *testing.T) {
	b := newProject(t)
	for _, name := range []string{"a", "with space", "tab\there", "ünï", `quo"te`, "dir/gone", "mode", "--- a", "no newline", "large"} {
		b.put(name, name+"\nb\nc\n")
	}
	b.put("long", strings.Repeat("x", 200<<10)+"\n")
	b.commit()
	b.launch()
	for _, name := range []string{"a", "with space", "tab\there", "ünï", `quo"te`, "--- a"} {
		b.edit(name, name+"\n-- a/00000001\n++ b/00000001\ndiff --git a/00000001 b/00000001\n@@ -1 +1 @@\n")
	}
	b.edit("no newline", "no newline\nb\nc")
	b.edit("long", strings.Repeat("x", 200<<10)+"y\n+++ b/00000001\n")
	b.edit("new/\x1b", "new\n")
	must(t, os.Remove(b.inside("dir/gone")))
	must(t, os.Remove(b.inside("dir")))
	must(t, os.Chmod(b.inside("mode"), 0o755))
	must(t, os.Symlink("a", b.inside("link")))
	patch, hidden := b.patch()
	if len(hidden) != 0 {
		t.Errorf("hidden are %v", hidden)
	}
	file := filepath.Join(t.TempDir(), "patch")
	write(t, file, patch)
	b.git("apply", file)
	if want, got := snapshot(t, b.inside(".")), snapshot(t, b.project); fmt.Sprint(got) == fmt.Sprint(want) {
		return
	} else {
		for path := range want {
			if got[path] != want[path] && strings.HasPrefix(want[path], "-") {
				t.Errorf("%q is %.80q, want %.80q", path, got[path], want[path])
			}
		}
	}
}

// A .gitattributes of the agent's neither hides a change nor names a program.
func TestT20_AttributesHideNothing(t *testing.T) {
	b := newProject(t)
	b.put("evil.txt", "1\n")
	b.commit()
	b.launch()
	b.edit(".gitattributes", "* -diff\n* binary\n* diff=evil\n")
	b.edit("evil.txt", "2\n")
	patch, _ := b.patch()
	if !strings.Contains(patch, "-1\n+2\n") || !strings.Contains(patch, "+* -diff") {
		t.Errorf("patch is\n%s", patch)
	}
}

// Git finds no repository around the scratch directory.
func TestARepositoryAroundTheScratchDirectoryIsNotFound(t *testing.T) {
	around := t.TempDir()
	ran := filepath.Join(t.TempDir(), "ran")
	git(t, around, "init", "-q")
	git(t, around, "config", "diff.external", "touch "+ran)
	git(t, around, "config", "core.fsmonitor", "touch "+ran)
	write(t, filepath.Join(around, ".gitattributes"), "* -diff\n")
	for dir := around; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) //nolint:gosec // another user passes
	}
	t.Setenv("TMPDIR", around)
	b := newProject(t)
	b.put("a", "1\n")
	b.launch()
	b.edit("a", "2\n")
	if patch, _ := b.patch(); !strings.Contains(patch, "-1\n+2\n") {
		t.Errorf("patch is\n%s", patch)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("its program ran")
	}
	if left, _ := filepath.Glob(filepath.Join(around, "claude-bottle-*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestAHugeFileIsNamedAndNotRead(t *testing.T) {
	b := newProject(t)
	b.put("grown", "1\n")
	b.launch()
	for _, name := range []string{"grown", "sparse"} {
		file, err := os.OpenFile(b.inside(name), os.O_CREATE|os.O_WRONLY, 0o600)
		must(t, err)
		must(t, file.Truncate(1<<40))
		must(t, file.Close())
	}
	patch, hidden := b.patch()
	if patch != "" || len(hidden) != 2 || hidden[0].Note != noteLarge {
		t.Errorf("patch is %d bytes, hidden are %q", len(patch), told(hidden))
	}
	into := t.TempDir()
	must(t, b.offer(Target{Into: into}).Apply(t.Context()))
	var stat unix.Stat_t
	must(t, unix.Stat(filepath.Join(into, "sparse"), &stat))
	if stat.Size != 1<<40 || stat.Blocks > 2048 {
		t.Errorf("%d bytes in %d blocks", stat.Size, stat.Blocks)
	}
}

// The agent swaps files, directories and links as fast as it can while its work is
// read: nothing of the host comes with it.
func TestT18_SwappedWhileItIsRead(t *testing.T) {
	b := newProject(t)
	b.put("swapped/file", "1\n")
	b.put("file", "1\n")
	b.launch()
	b.edit("swapped/file", "2\n")
	b.edit("file", "2\n")
	shadow := canary(t)
	must(t, os.Rename(shadow, filepath.Join(filepath.Dir(shadow), "file")))
	outside := filepath.Dir(shadow)
	must(t, os.Symlink(outside, b.inside("aside")))
	must(t, os.Symlink(filepath.Join(outside, "file"), b.inside("aside-file")))
	stop := make(chan struct{})
	var agent sync.WaitGroup
	agent.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, pair := range [][2]string{{"swapped", "aside"}, {"file", "aside-file"}} {
				_ = unix.Renameat2(unix.AT_FDCWD, b.inside(pair[0]), unix.AT_FDCWD, b.inside(pair[1]), unix.RENAME_EXCHANGE)
			}
			runtime.Gosched()
		}
	})
	seen := 0
	for range 25 {
		view, err := Open(t.Context(), b.work)
		if err != nil {
			continue // it says that it changes
		}
		var text strings.Builder
		_, err = view.Patch(t.Context(), &text, nil)
		view.Close()
		if strings.Contains(text.String(), "canary-of-the-host") {
			t.Fatalf("a link was followed:\n%s", text.String())
		}
		if err == nil {
			seen++
		}
		into := t.TempDir()
		offer, err := Prepare(t.Context(), b.work, Target{Into: into})
		if err != nil {
			continue
		}
		err = offer.Apply(t.Context())
		offer.Close()
		for path, what := range snapshot(t, into) {
			if strings.Contains(what, "canary-of-the-host") || strings.Contains(what, outside) {
				t.Fatalf("%s came home: %s (%v)", path, what, err)
			}
		}
	}
	close(stop)
	agent.Wait()
	if seen == 0 {
		t.Error("the work could never be read")
	}
}

func TestT21_TheRepositoryIsMovedAway(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.commit()
	before := snapshot(t, filepath.Join(b.project, ".git"))
	b.launch()
	ran := filepath.Join(t.TempDir(), "ran")
	must(t, os.Rename(b.inside(".git"), b.inside("git2")))
	b.edit(".git/hooks/pre-commit", "#!/bin/sh\ntouch "+ran+"\n")
	b.edit(".git/config", "[core]\n\tfsmonitor = touch "+ran+"\n")
	b.edit("git2/config", "[core]\n\tfsmonitor = touch "+ran+"\n")
	b.edit("file", "2\n")
	offer := b.offer(Target{})
	if len(offer.Notes) != 1 || !strings.Contains(offer.Notes[0], "moved away or replaced") {
		t.Errorf("notes are %q", offer.Notes)
	}
	if len(offer.Steps) != 1 || offer.Steps[0].Path != "file" || len(offer.Refused) == 0 {
		t.Fatalf("steps are %v, refused %q", offer.Steps, told(offer.Refused))
	}
	for _, refused := range offer.Refused {
		if !strings.HasPrefix(refused.Path, "git2/") || !strings.Contains(refused.Note, "looks like a repository") {
			t.Errorf("refused is %+v", refused)
		}
	}
	must(t, offer.Apply(t.Context()))
	if after := snapshot(t, filepath.Join(b.project, ".git")); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the host's .git has changed")
	}
	b.git("status")
	if _, err := os.Stat(ran); err == nil {
		t.Error("something ran")
	}
	if b.host("file") != "2\n" {
		t.Errorf("file is %q", b.host("file"))
	}
}

// Even a directory that is a repository only together with what the host has.
func TestT19_HalfARepositoryIsRefused(t *testing.T) {
	b := newProject(t)
	b.put("game/objects/tree", "1\n")
	b.put("game/refs/ferry", "1\n")
	b.launch()
	must(t, os.RemoveAll(b.inside("game/objects")))
	must(t, os.RemoveAll(b.inside("game/refs")))
	b.edit("game/HEAD", "ref: refs/heads/main\n")
	b.edit("game/config", "[core]\n\tfsmonitor = touch /tmp/ran\n")
	b.edit("sub/HEAD", "x\n")
	b.edit("sub/commondir", "../.git\n")
	offer := b.offer(Target{Paths: []string{"game/HEAD", "game/config", "sub"}})
	if len(offer.Steps) != 0 || len(offer.Refused) != 4 {
		t.Errorf("steps are %v, refused %q", offer.Steps, told(offer.Refused))
	}
}

func TestManyFilesComeHome(t *testing.T) {
	memory, err := os.MkdirTemp("/dev/shm", "many") //nolint:usetesting // it would take minutes on a disk
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(memory) })
	must(t, os.Chmod(memory, 0o755)) //nolint:gosec // another user passes
	t.Setenv("TMPDIR", memory)
	b := newProjectIn(t, memory)
	b.put("a", "1\n")
	b.launch()
	const many = 10_000
	for i := range many {
		if i%1000 == 0 {
			must(t, os.MkdirAll(b.inside(fmt.Sprintf("d%d", i/1000)), 0o755))
		}
		must(t, os.WriteFile(b.inside(fmt.Sprintf("d%d/f%d", i/1000, i)), []byte("x\n"), 0o600))
	}
	view, err := Open(t.Context(), b.work)
	must(t, err)
	defer view.Close()
	var counter lineCounter
	_, err = view.Patch(t.Context(), &counter, nil)
	must(t, err)
	if int(counter) != many*7 {
		t.Errorf("the patch has %d lines", counter)
	}
	must(t, b.apply())
	if names, _ := filepath.Glob(filepath.Join(b.project, "d*", "*")); len(names) != many {
		t.Errorf("%d files came home", len(names))
	}
}

type lineCounter int

func (c *lineCounter) Write(p []byte) (int, error) {
	*c += lineCounter(strings.Count(string(p), "\n"))
	return len(p), nil
}

// TestT20_NoDirectoryBecomesARepository: git takes a directory without .git for a
// bare repository when it holds the right names, and runs what its config says.
func TestT20_NoDirectoryBecomesARepository(t *testing.T) {
	poison := map[string]string{"HEAD": "ref: refs/heads/main\n", "config": "[core]\n\tbare = false\n\tfsmonitor = touch /tmp/ran\n", "objects/info/x": "1\n", "refs/heads/x": "1\n", "hooks/post-checkout": "#!/bin/sh\n"}
	for _, bare := range []bool{false, true} {
		b := newProject(t)
		b.put("file", "1\n")
		if bare {
			b.git("init", "-q", "--bare", ".")
		}
		b.launch()
		for name, text := range poison {
			b.edit(name, text)
		}
		must(t, os.Remove(b.inside("file")))
		before := snapshot(t, b.project)
		offer := b.offer(Target{})
		if len(offer.Steps) != 0 || len(offer.Refused) < len(poison) {
			t.Errorf("bare %v: steps are %v, refused %q", bare, actions(offer), told(offer.Refused))
		}
		must(t, offer.Apply(t.Context()))
		if after := snapshot(t, b.project); !maps.Equal(before, after) {
			t.Errorf("bare %v: it was %v, is %v", bare, before, after)
		}
	}
}
