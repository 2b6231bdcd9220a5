package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// idleSpec is the wish for a bottle in which nobody starts claude.
func idleSpec(t *testing.T, u *bottletest.User, name string) backend.Spec {
	t.Helper()
	limits, err := manifest.Limits(backend.Resources{})
	if err != nil {
		t.Fatal(err)
	}
	return backend.Spec{
		Manifest: &backend.Manifest{
			Agent:  backend.AgentFile{Name: "tester", Bottle: "default"},
			Bottle: backend.BottleFile{Name: "default", Image: bottletest.DefaultImage, Runtime: backend.RuntimeGVisor},
		},
		Name: name, Cwd: u.Cwd, Home: u.Home, Limits: limits, Lookup: func(string) (string, bool) { return "", false },
	}
}

// TestF33_ManyIdleBottlesAtOnce has PID 1 and a supervisor in each and no claude, under
// gVisor: what they take, and that nothing is left of them.
func TestF33_ManyIdleBottlesAtOnce(t *testing.T) {
	count := 50
	if text := os.Getenv("BENCH_BOTTLES"); text != "" {
		if _, err := fmt.Sscan(text, &count); err != nil || count < 1 {
			t.Fatalf("BENCH_BOTTLES is %q: give a number", text)
		}
	}
	u := newUser(t)
	machine := u.Backend(t)
	free := available(t)
	began := time.Now()
	var bottles []backend.Bottle
	for i := range count {
		plan, err := machine.Prepare(t.Context(), idleSpec(t, u, fmt.Sprintf("idle-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := backend.ResolveSecrets(plan, func(string) (string, bool) { return "", false }, nil)
		if err != nil {
			t.Fatal(err)
		}
		bottle, err := machine.Launch(t.Context(), plan, secrets)
		if err != nil {
			t.Fatalf("bottle %d: %v", i+1, err)
		}
		t.Cleanup(func() { _ = bottle.Close(context.WithoutCancel(t.Context())) })
		bottles = append(bottles, bottle)
	}
	took := time.Since(began)
	list, err := machine.ListActive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, status := range list {
		if status.Phase == backend.PhaseRunning {
			running++
		}
	}
	if running != count {
		t.Errorf("%d of %d run", running, count)
	}
	shares := proportional(u.Supervisors(), "supervisor")
	for kind, size := range proportional(u.Daemon.Servants(u.RunRoot), "") {
		shares[kind] += size
	}
	whole := int64(0)
	for _, size := range shares {
		whole += size
	}
	each := func(size int64) string { return backend.Bytes(size / int64(count)) }
	fmt.Printf("%-34s %d in %.1f s, %s each: supervisor %s, sandbox %s, shim %s; the machine has %s less available for each\n", "idle bottles, gvisor", count, took.Seconds(),
		each(whole), each(shares["supervisor"]), each(shares["sandbox"]), each(shares["shim"]), each(max(0, free-available(t))))
	for _, bottle := range bottles {
		if err := bottle.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	bottletest.Eventually(t, "the bottles go", func() bool { return len(u.Supervisors()) == 0 && u.Left() == "" })
}

// proportional sums up the proportional set sizes of processes, in bytes, by what they are:
// kind, or shim and sandbox.
func proportional(pids []int, kind string) map[string]int64 {
	sizes := map[string]int64{}
	for _, pid := range pids {
		kind := kind
		if kind == "" {
			kind = "sandbox"
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if program, _, _ := bytes.Cut(line, []byte{0}); bytes.Contains(program, []byte("shim")) {
				kind = "shim"
			}
		}
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // it may have ended
		sizes[kind] += kibibytes(string(data), "Pss:")
	}
	return sizes
}

// available is how much memory the machine can still give, in bytes.
func available(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	return kibibytes(string(data), "MemAvailable:")
}

// kibibytes reads one line of a file of the kernel, in bytes.
func kibibytes(text, key string) int64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == key {
			size, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return size * 1024
		}
	}
	return 0
}
