// Package soak starts and ends bottles in a row, many times, and wants the machine to be
// afterwards as it was before. `make soak` runs it SOAK_COUNT times.
package soak

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// figures are what must not grow: of the daemon, and of this process, which is a client
// that never ends.
type figures struct {
	descriptors, goroutines       int
	resident, database            int64 // in bytes
	ownDescriptors, ownGoroutines int
	ownResident                   int64
}

// String implements fmt.Stringer.
func (f figures) String() string {
	return fmt.Sprintf("containerd: %d descriptors, %d goroutines, %s resident, database %s; client: %d descriptors, %d goroutines, %s resident",
		f.descriptors, f.goroutines, backend.Bytes(f.resident), backend.Bytes(f.database), f.ownDescriptors, f.ownGoroutines, backend.Bytes(f.ownResident))
}

func look(t *testing.T, daemon *containerdtest.Daemon) figures {
	t.Helper()
	info, err := os.Stat(filepath.Join(daemon.Root, "io.containerd.metadata.v1.bolt", "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	goruntime.GC()
	f := figures{
		database: info.Size(), goroutines: daemon.Goroutines(t), ownGoroutines: goruntime.NumGoroutine(),
	}
	f.descriptors, f.resident = process(t, daemon.Pid())
	f.ownDescriptors, f.ownResident = process(t, os.Getpid())
	return f
}

// process is how many descriptors a process has, and its resident memory in bytes.
func process(t *testing.T, pid int) (descriptors int, resident int64) {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kibibytes, _ := strconv.ParseInt(fields[1], 10, 64)
			resident = 1024 * kibibytes
		}
	}
	return len(open), resident
}

// soak is one user whose bottles come and go.
type soak struct {
	*bottletest.User
	machine *containerd.Backend
}

// life is one bottle from its start to its end: one of the program's that is detached and
// stopped, or one of this process's.
func (s *soak) life(i int) {
	s.Helper()
	runtime := bottletest.Runtimes()[i/2%len(bottletest.Runtimes())]
	name := fmt.Sprintf("soak-%d", i%7)
	if i%2 == 0 {
		s.Run("start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime, "--name", name).Want(s, 0)
		s.Run("stop", name).Want(s, 0)
		s.Run("rm", name).Want(s, 0)
		return
	}
	s.own(runtime, name)
}

// own is the life of a bottle that this process holds.
func (s *soak) own(runtime, name string) {
	s.Helper()
	limits, err := manifest.Limits(backend.Resources{})
	if err != nil {
		s.Fatal(err)
	}
	nothing := func(string) (string, bool) { return "", false }
	plan, err := s.machine.Prepare(s.Context(), backend.Spec{
		Manifest: &backend.Manifest{
			Agent:  backend.AgentFile{Name: "tester", Bottle: "default"},
			Bottle: backend.BottleFile{Name: "default", Image: containerdtest.TestImage, Env: map[string]string{"FAKE_CLAUDE_RUN": "echo said"}},
		},
		Name: name, Runtime: backend.RuntimePolicy(runtime), Cwd: s.Cwd, Home: s.Home, Limits: limits, Lookup: nothing,
	})
	if err != nil {
		s.Fatal(err)
	}
	secrets, err := backend.ResolveSecrets(plan, nothing, nil)
	if err != nil {
		s.Fatal(err)
	}
	bottle, err := s.machine.Launch(s.Context(), plan, secrets)
	if err != nil {
		s.Fatal(err)
	}
	var out bytes.Buffer
	code, err := bottle.ExecClaude(s.Context(), plan.Command, backend.Terminal{In: strings.NewReader(""), Out: &out, Err: &out})
	if err != nil || code != 0 || out.String() != "said\n" {
		s.Errorf("claude ends with %d, %v: %s", code, err, out.String())
	}
	if err := bottle.Close(context.WithoutCancel(s.Context())); err != nil {
		s.Error(err)
	}
}

func TestF33_ManyLivesInARow(t *testing.T) {
	count := 1000
	if text := os.Getenv("SOAK_COUNT"); text != "" {
		if _, err := fmt.Sscan(text, &count); err != nil || count < 1 {
			t.Fatalf("SOAK_COUNT is %q: give a number", text)
		}
	}
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\nenv: {FAKE_CLAUDE_RUN: cat}\n---\n")
	s := &soak{User: u, machine: u.Backend(t)}
	atRest := func() figures {
		bottletest.Eventually(t, "the last bottles go", func() bool { return u.Left() == "" && len(u.Supervisors()) == 0 })
		return look(t, daemon)
	}
	const warmUp = 28 // each name on each runtime, by both
	for i := range warmUp {
		s.life(i)
	}
	before := atRest()
	t.Logf("before: %s", before)
	began := time.Now()
	for i := range count {
		s.life(i)
		if (i+1)%100 == 0 {
			t.Logf("%d lives in %s: %s", i+1, time.Since(began).Round(time.Second), atRest())
		}
	}
	after := atRest()
	t.Logf("%d lives in %s: %s", count, time.Since(began).Round(time.Second), after)
	flat(t, before, after)
	if left, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
}

// flat wants nothing to have grown by more than what comes and goes.
func flat(t *testing.T, before, after figures) {
	t.Helper()
	const (
		few     = 4
		someMiB = 16 << 20
	)
	for what, grown := range map[string]bool{
		"containerd's descriptors": after.descriptors > before.descriptors+few,
		"containerd's goroutines":  after.goroutines > before.goroutines+few*few,
		"containerd's memory":      after.resident > before.resident+before.resident/2+someMiB,
		"containerd's database":    after.database > before.database+1<<20,
		"the client's descriptors": after.ownDescriptors > before.ownDescriptors+few,
		"the client's goroutines":  after.ownGoroutines > before.ownGoroutines+few,
		"the client's memory":      after.ownResident > before.ownResident+before.ownResident/2+someMiB,
	} {
		if grown {
			t.Errorf("%s: before %s, after %s", what, before, after)
		}
	}
}
