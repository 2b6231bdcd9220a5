package change

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Variables that make the test binary an apply that is killed.
const (
	killAt      = "TEST_KILL_AT" // after that many steps
	killState   = "TEST_KILL_STATE"
	killProject = "TEST_KILL_PROJECT"
)

// TestKilledApply is the process that the next test kills. By itself it does nothing.
func TestKilledApply(t *testing.T) {
	at, err := 0, error(nil)
	if _, err = fmt.Sscan(os.Getenv(killAt), &at); err != nil {
		t.Skip("it is run by another test")
	}
	work := &backend.Work{
		ID: backend.ID{Name: "b", Suffix: "1"}, State: os.Getenv(killState),
		Plan: &backend.Plan{Workspace: &backend.WorkTree{Path: os.Getenv(killProject)}},
	}
	offer, err := Prepare(t.Context(), work, Target{})
	must(t, err)
	offer.between = func(done int) {
		if done == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	must(t, offer.Apply(t.Context()))
}

func TestF2_AnApplyThatWasKilledIsUndone(t *testing.T) {
	b := divergent(t, false)
	b.put("to-file/a/b", "1\n")
	before := snapshot(t, b.project)
	steps := 9
	for at := range steps {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledApply$")
		command.Env = append(os.Environ(), killAt+"="+fmt.Sprint(at), killState+"="+b.work.State, killProject+"="+b.project)
		output, err := command.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(exit.String(), "killed") {
			t.Fatalf("after %d steps: %v: %s", at, err, output)
		}
		staging, _ := filepath.Glob(filepath.Join(b.project, stagingPrefix+"*"))
		if len(staging) != 1 {
			t.Fatalf("staging is %v", staging)
		}
		other := newProject(t)
		other.project, other.work.Plan.Workspace.Path = b.project, b.project
		other.launchFrom(b)
		if _, err := Prepare(t.Context(), other.work, Target{}); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), filepath.Base(staging[0])) {
			t.Errorf("another bottle's apply says %v", err)
		}
		offer := b.offer(Target{})
		if len(offer.Notes) != 1 || !strings.Contains(offer.Notes[0], "is undone") {
			t.Errorf("notes are %q", offer.Notes)
		}
		offer.Close()
		if after := snapshot(t, b.project); !maps.Equal(before, after) {
			t.Errorf("after %d steps it is %v, want %v", at, after, before)
		}
		b.leftNothing()
	}
	must(t, b.apply())
	if b.host("merged") != lines(3, 15) {
		t.Error("it was not applied after all")
	}
	b.leftNothing()
}

// launchFrom makes an empty bottle beside another one.
func (b *bottle) launchFrom(*bottle) {
	b.Helper()
	must(b.T, os.Mkdir(b.work.Place(backend.PlaceWorkspace), 0o700))
	b.baseline()
}

// What the user writes in the middle of an apply is the user's.
func TestTheUserIsAtWorkMeanwhile(t *testing.T) {
	for _, at := range []int{0, 3, 8} {
		b := divergent(t, false)
		offer := b.offer(Target{})
		offer.between = func(done int) {
			if done == at {
				b.put("taken", "mine, just now\n") // the last one
				b.put("new/deep/file", "mine, just now\n")
			}
		}
		before := snapshot(t, b.project)
		err := offer.Apply(t.Context())
		if err == nil {
			t.Fatal("it was applied")
		}
		offer.Close()
		if b.host("taken") != "mine, just now\n" {
			t.Errorf("after %d steps the user's file is %q (%v)", at, b.host("taken"), err)
		}
		if text := b.host("new/deep/file"); text != "mine, just now\n" && at < 8 {
			t.Errorf("after %d steps the user's new file is %q", at, text)
		}
		for path, what := range before {
			if now := snapshot(t, b.project)[path]; now != what && path != "taken" && !strings.HasPrefix(path, "new") {
				t.Errorf("after %d steps %s is %q, was %q (%v)", at, path, now, what, err)
			}
		}
	}
}

// smallFileSystem makes a file system of a few pages.
func smallFileSystem(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestF17_ADiskThatIsFull(t *testing.T) {
	for _, options := range []string{"size=256k", "size=64m,nr_inodes=24"} {
		b := newProject(t)
		b.put("first", "1\n")
		b.put("large", strings.Repeat("x", 40<<10))
		for i := range 12 {
			b.put(fmt.Sprintf("more/%d", i), "1\n")
		}
		b.launch()
		b.edit("first", "2\n")
		b.edit("large", strings.Repeat("y", 250<<10))
		for i := range 12 {
			b.edit(fmt.Sprintf("more/%d", i), "2\n")
		}
		disk := smallFileSystem(t, options)
		output, err := exec.CommandContext(t.Context(), "cp", "-a", b.project+"/.", disk).CombinedOutput()
		if err != nil {
			t.Fatal(string(output))
		}
		before := snapshot(t, disk)
		offer := b.offer(Target{Into: disk})
		err = offer.Apply(t.Context())
		offer.Close()
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "nothing was changed in "+disk) {
			t.Errorf("%s: error is %v", options, err)
		}
		if !strings.Contains(fmt.Sprint(err), "write large") && !strings.Contains(fmt.Sprint(err), "write more/") {
			t.Errorf("%s: no path is named: %v", options, err)
		}
		if after := snapshot(t, disk); !maps.Equal(before, after) {
			t.Errorf("%s: it is %v", options, slices.Sorted(maps.Keys(after)))
		}
		if _, err := os.Stat(b.work.Path(backend.StateSaved)); err == nil {
			t.Error("it counts as saved")
		}
	}
}

func TestF18_ADiskThatCanOnlyBeRead(t *testing.T) {
	b := newProject(t)
	b.put("file", "1\n")
	b.launch()
	b.edit("file", "2\n")
	disk := smallFileSystem(t, "size=1m")
	write(t, filepath.Join(disk, "file"), "1\n")
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	offer := b.offer(Target{Into: disk})
	defer offer.Close()
	if err := offer.Apply(t.Context()); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), disk) {
		t.Errorf("error is %v", err)
	}
}

// A directory on the way lies on another file system: it is said, and undone.
func TestF18_AnotherFileSystemInside(t *testing.T) {
	b := newProject(t)
	b.put("a", "1\n")
	b.put("mounted/file", "1\n")
	b.launch()
	b.edit("a", "2\n")
	b.edit("mounted/file", "2\n")
	disk := smallFileSystem(t, "size=1m")
	write(t, filepath.Join(disk, "file"), "1\n")
	must(t, unix.Mount(disk, filepath.Join(b.project, "mounted"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(b.project, "mounted"), unix.MNT_DETACH) })
	err := b.apply()
	if !errors.Is(err, unix.EXDEV) || !strings.Contains(err.Error(), "mounted/file") {
		t.Errorf("error is %v", err)
	}
	if b.host("a") != "1\n" || b.host("mounted/file") != "1\n" {
		t.Error("something was changed")
	}
	b.leftNothing()
}
