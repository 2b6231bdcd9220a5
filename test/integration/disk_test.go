package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"golang.org/x/sys/unix"
)

// ownDisk mounts a file system of 5 GiB for a test, of which the host is to keep a
// fiftieth, until the end of the test. It takes no more of the real disk than is written.
func ownDisk(t *testing.T) (mount string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk") //nolint:usetesting // the test's own directories are to lie on the new disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	for _, err := range []error{os.Chmod(dir, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 5<<30), os.Mkdir(mount, 0o755)} { //nolint:gosec // bottles pass through
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, words := range [][]string{{"mkfs.xfs", "-q", image}, {"mount", "-o", "loop", image, mount}} {
		if said, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", words, err, said)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Errorf("unmount %s: %v", mount, err)
		}
	})
	return mount
}

// leave takes all of a disk but so many bytes. What was deleted is free when the disk gets
// to it.
func leave(t *testing.T, mount string, bytes int64) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(mount, "filler"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	bottletest.Eventually(t, "the disk has just so much room", func() bool {
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		switch more := free(t, mount) - bytes; {
		case more > 4<<20:
			err = unix.Fallocate(int(file.Fd()), 0, info.Size(), more)
		case more < -4<<20:
			err = file.Truncate(info.Size() + more)
		default:
			return true
		}
		if err != nil {
			t.Logf("fill the disk: %v", err)
		}
		return false
	})
}

func free(t *testing.T, mount string) int64 {
	t.Helper()
	var system unix.Statfs_t
	if err := unix.Statfs(mount, &system); err != nil {
		t.Fatal(err)
	}
	return int64(system.Bavail) * system.Bsize
}

// TestT52_ABottleThatFillsTheDiskIsEndedAndNoOther: by what it writes to its root file
// system, and to its workspace, which is kept. One that takes little beside it lives on.
func TestT52_ABottleThatFillsTheDiskIsEndedAndNoOther(t *testing.T) {
	// So much is left, and so many MiB the agent writes at most: then it waits to be ended.
	const room, most = 126 << 20, "110"
	mount := ownDisk(t)
	t.Setenv("TMPDIR", mount)
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
			does(u, echoes)
			u.Run("start", "tester", "--yes", "--quiet", "--detach", "--no-controller", "--name", "small", "--runtime", runtime).Want(t, 0)
			reference := image(t, u, "trickles", map[string]string{"usr/local/bin/claude": "attack", "opt/": ""})
			fills := func(dir string, flags ...string) bottletest.Result {
				does(u, "true")
				leave(t, mount, room)
				return u.Run(slices.Concat([]string{"start", "tester", "--yes", "--quiet", "--no-controller", "--runtime", runtime, "--image", reference}, flags, []string{"--", "trickle", dir, most})...)
			}
			fills("/opt", "--detach", "--name", "layer").Want(t, 0)
			bottletest.Eventually(t, "what fills the disk is ended", func() bool {
				return named(t, list(t, u), "small").Phase == "Running" && len(list(t, u)) == 2 && list(t, u)[1].Phase == "Kept"
			})
			kept := list(t, u)[1]
			if kept.Outcome == nil || kept.Outcome.Reason != backend.ReasonEvicted || !strings.Contains(kept.Outcome.Message, "left that the host is to keep") {
				t.Errorf("the outcome is %+v", kept.Outcome)
			}
			events, err := supervise.ReadEvents(filepath.Dir(kept.Workspace))
			if err != nil || !slices.ContainsFunc(events, func(event backend.Event) bool { return event.Reason == "DiskPressure" }) {
				t.Errorf("its events are %+v, %v", events, err)
			}
			u.Run("rm", "layer", "--discard").Want(t, 0)

			r := fills("/workspace", "--name", "work")
			if r.Code == 0 {
				t.Errorf("it ended with %d: %s", r.Code, r.Stdout)
			}
			bottletest.Contains(t, r.Stderr, "claude-bottle: ended: the disk of ", "free some, then resume", "unsaved, kept as work@")
			t.Logf("%d MiB are left", free(t, mount)>>20)
			does(u, "cat work")
			bottletest.Contains(t, u.Run("resume", "work", "--yes", "--quiet").Want(t, 0).Stdout, "work")
			u.Run("stop", "small").Want(t, 0)
			bottletest.Eventually(t, "the bottles go", func() bool { return len(u.Supervisors()) == 0 })
			u.Run("rm", "small", "work", "--discard").Want(t, 0)
		})
	}
}
