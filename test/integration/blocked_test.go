package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// leaveDirectory leaves what a containerd leaves that is killed between the directory of a
// snapshot and its books.
func leaveDirectory(t *testing.T, daemon *containerdtest.Daemon) string {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	service := daemon.Client().SnapshotService("overlayfs")
	// Its number is the last that was given. It stays, for its removal would have the books
	// looked at.
	key := fmt.Sprintf("last-%d", time.Now().UnixNano())
	mounts, err := service.Prepare(ctx, key, "", snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Remove(context.WithoutCancel(ctx), key) })
	last, err := strconv.Atoi(filepath.Base(filepath.Dir(mounts[0].Source)))
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(daemon.Root, "io.containerd.snapshotter.v1.overlayfs", "snapshots", strconv.Itoa(last+1))
	if err := errors.Join(os.Mkdir(left, 0o700), os.Mkdir(filepath.Join(left, "left"), 0o755)); err != nil {
		t.Fatal(err)
	}
	return left
}

// leaveStep leaves what a build under way has, which no image could be unpacked into again;
// there says whether it is there still.
func leaveStep(t *testing.T, daemon *containerdtest.Daemon) (there func() bool) {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	service := daemon.Client().SnapshotService("overlayfs")
	rooted := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "now"})
	_, err := service.Prepare(ctx, "step", "", rooted)
	if err := errors.Join(err, service.Commit(ctx, "step-frozen", "step", rooted)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Remove(context.WithoutCancel(ctx), "step-frozen") })
	return func() bool {
		_, err := service.Stat(ctx, "step-frozen")
		return err == nil
	}
}

// TestF7_WhatAKilledContainerdLeftInTheWayIsRemoved: it would be in the way of all
// snapshots to come. While nothing can be spared the error says what to do.
func TestF7_WhatAKilledContainerdLeftInTheWayIsRemoved(t *testing.T) {
	for _, version := range []string{"2.4", "1.6"} {
		t.Run(version, func(t *testing.T) {
			daemon := containerdtest.Start(t, containerdtest.Options{Version: version})
			u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
			archive := filepath.Join(daemon.Libexec, "images", "test.tar")
			left := leaveDirectory(t, daemon)
			bottletest.Contains(t, u.Run("image", "import", archive).Want(t, 1).Stderr, left+": file exists", "remove that directory while containerd is stopped")
			if err := os.RemoveAll(left); err != nil {
				t.Fatal(err)
			}
			daemon.ImportTestImage(t, bottletest.Namespace)
			step := leaveStep(t, daemon)
			left = leaveDirectory(t, daemon)
			bottletest.Contains(t, u.Start("gvisor").Want(t, 0).Stderr, "what it has left there is removed")
			if _, err := os.Stat(filepath.Join(left, "left")); err == nil {
				t.Errorf("%s is still what was left", left)
			}
			if !step() {
				t.Error("the step of a build that was under way is gone")
			}
		})
	}
}
