// Package soak starts and ends bottles in a row for a long time, and wants the
// machine to be afterwards as it was before. `make soak` runs it for SOAK.
package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// figures are what must not grow.
type figures struct {
	descriptors int   // of the daemon
	resident    int64 // of the daemon, in KiB
	database    int64 // meta.db, in bytes
}

func look(t *testing.T, daemon *containerdtest.Daemon) figures {
	t.Helper()
	var f figures
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", daemon.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	f.descriptors = len(descriptors)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", daemon.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			f.resident, _ = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	info, err := os.Stat(filepath.Join(daemon.Root, "io.containerd.metadata.v1.bolt", "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	f.database = info.Size()
	return f
}

func TestF33_ManyLivesInARow(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("CLAUDE_BOTTLE_SOAK"))
	if err != nil {
		t.Fatalf("CLAUDE_BOTTLE_SOAK is no duration: %v", err)
	}
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	life := func(i int) {
		runtime := bottletest.Runtimes()[i%len(bottletest.Runtimes())]
		u.Start(runtime, "--quiet", "--name", fmt.Sprintf("soak-%d", i%7)).Want(t, 0)
	}
	const warmUp = 20
	for i := range warmUp {
		life(i)
	}
	bottletest.Eventually(t, "the last bottles go", func() bool { return u.Left() == "" })
	before := look(t, daemon)
	lives := 0
	for deadline := time.Now().Add(length); time.Now().Before(deadline); lives++ {
		life(lives)
	}
	bottletest.Eventually(t, "the last bottles go", func() bool { return u.Left() == "" })
	after := look(t, daemon)
	t.Logf("%d lives in %s: before %+v, after %+v", lives, length, before, after)
	if after.descriptors > before.descriptors+2 {
		t.Errorf("containerd had %d descriptors, and has %d", before.descriptors, after.descriptors)
	}
	if after.database > before.database+1<<20 {
		t.Errorf("meta.db had %d bytes, and has %d", before.database, after.database)
	}
	if left, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
}
