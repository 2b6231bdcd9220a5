package integration

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/registrytest"
	"golang.org/x/sys/unix"
)

// onSmallStore puts what the daemon keeps on a disk of 64 MiB; leave makes it have so
// much free.
func onSmallStore(t *testing.T, daemon *containerdtest.Daemon) (leave func(bytes int64)) {
	t.Helper()
	root := daemon.Root
	if err := errors.Join(daemon.Kill(), unix.Mount("none", root, "tmpfs", 0, "mode=711,size=64m"), daemon.Up()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(daemon.Kill(), unix.Unmount(root, unix.MNT_DETACH), daemon.Up()); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(root, "filler")
	return func(bytes int64) {
		t.Helper()
		if err := os.RemoveAll(filler); err != nil {
			t.Fatal(err)
		}
		var disk unix.Statfs_t
		if err := unix.Statfs(root, &disk); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filler) //nolint:gosec // a directory of this test
		if err != nil {
			t.Fatal(err)
		}
		size := int64(disk.Bavail)*disk.Bsize - bytes //nolint:gosec // 64 MiB
		if err := errors.Join(unix.Fallocate(int(file.Fd()), 0, 0, size), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// nothingOnDisk fails unless the daemon has neither books of anything nor files.
func nothingOnDisk(t *testing.T, u *bottletest.User, after string) {
	t.Helper()
	nothingCreated(t, u)
	for _, place := range []string{"content.v1.content/ingest/*", "content.v1.content/blobs/sha256/*", "snapshotter.v1.overlayfs/snapshots/*"} {
		if found, _ := filepath.Glob(filepath.Join(u.Daemon.Root, "io.containerd."+place)); len(found) > 0 {
			t.Errorf("after %s there is %q", after, found)
		}
	}
}

// TestF17_ATransferThatFindsNoRoomLeavesNothing: neither at the daemon nor on its disk,
// whatever is full first, the layer packed or unpacked. It says which disk it is.
func TestF17_ATransferThatFindsNoRoomLeavesNothing(t *testing.T) {
	registry := registrytest.Start(t)
	digest := registry.Push(t, newUser(t, "2.4").Daemon, bottletest.Namespace, containerdtest.TestImage, "tools/claude:1")
	daemon := containerdtest.Start(t, containerdtest.Options{})
	leave := onSmallStore(t, daemon)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	archive := filepath.Join(daemon.Libexec, "images", "test.tar")
	address, letGo := slowly(t, registry, digest)
	reference := address + "/tools/claude:1"
	s := u.OnTerminal("image", "pull", reference)
	s.Shows("MiB of")
	bottletest.Eventually(t, "most of it has come", func() bool { return offset(u, "layer-"+layer(t, digest)) > 500_000 })
	_ = s.Process.Process.Kill()
	s.Ends()
	letGo()
	for _, test := range []struct {
		room     int64
		transfer []string
	}{
		{300 << 10, []string{"pull", reference}}, {300 << 10, []string{"import", archive}}, {2200 << 10, []string{"import", archive}},
	} {
		leave(test.room)
		r := u.Run(append([]string{"image"}, test.transfer...)...).Want(t, 1)
		bottletest.Contains(t, r.Stderr, "no space left on device", daemon.Root+" (", "make room there", "image prune")
		nothingOnDisk(t, u, test.transfer[0])
	}
	leave(32 << 20)
	bottletest.Contains(t, u.Run("image", "pull", reference).Want(t, 0).Stdout, digest)
	u.Run("image", "rm", reference).Want(t, 0)
	nothingOnDisk(t, u, "a removal")
}

// TestF1_TestF26_WhatIsBrokenOffGoesOnOrIsTakenAway: a pull by a registry that hangs up goes
// on at the byte; of an import that was killed the next one leaves nothing, also one that
// fails.
func TestF1_TestF26_WhatIsBrokenOffGoesOnOrIsTakenAway(t *testing.T) {
	u, registry, _, digest := puller(t, "2.4")
	blob := layer(t, digest)
	var asked, resumed atomic.Int32
	var whole atomic.Bool
	address := front(t, registry, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/blobs/"+blob) {
				if from := r.Header.Get("Range"); from != "" && !strings.HasPrefix(from, "bytes=0-") {
					resumed.Add(1)
				}
				if left := 0; !whole.Load() {
					if asked.Add(1) <= 2 {
						left = 200 << 10
					}
					w = &hangsUp{ResponseWriter: w, left: left}
				}
			}
			next.ServeHTTP(w, r)
		})
	}, nil)
	reference := address + "/tools/claude:1"
	bottletest.Contains(t, u.Run("image", "pull", reference).Want(t, 1).Stderr, "what has come stays for a day")
	if got := offset(u, "layer-"+blob); got < 200<<10 || resumed.Load() == 0 {
		t.Errorf("%d bytes have come, it went on %d times by itself", got, resumed.Load())
	}
	whole.Store(true)
	before := resumed.Load()
	bottletest.Contains(t, u.Run("image", "pull", reference).Want(t, 0).Stdout, digest)
	if got := resumed.Load() - before; got != 1 {
		t.Errorf("the next pull has gone on %d times", got)
	}
	u.Run("image", "rm", reference).Want(t, 0)
	nothingOnDisk(t, u, "a pull that was broken off")

	data := []byte(contentOf(t, filepath.Join(u.Daemon.Libexec, "images", "test.tar")))
	killedImport(t, u, data[:900<<10])
	bottletest.Contains(t, piped(u, data[:700<<10], "image", "import", "-").Want(t, 1).Stderr, "unexpected EOF")
	nothingOnDisk(t, u, "an import that failed")
}

// hangsUp is an answer whose connection ends after so many bytes.
type hangsUp struct {
	http.ResponseWriter

	left int
}

func (w *hangsUp) Write(data []byte) (int, error) {
	part := data[:min(len(data), w.left)]
	n, err := w.ResponseWriter.Write(part)
	w.left -= n
	if err == nil && len(part) < len(data) {
		if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}
