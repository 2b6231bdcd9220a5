package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/anthropic"
)

// killMoments is how many moments the CLI is killed at, over both runtimes. The
// seed makes a failure repeatable.
const (
	killMoments = 50
	killSeed    = 20261124
)

// TestF1KillOfTheCLI kills the CLI at seeded moments from its first instruction
// to past its end, and wants one cleanup to leave an empty ledger each time.
func TestF1KillOfTheCLI(t *testing.T) {
	random := rand.New(rand.NewPCG(killSeed, 1))
	f := newFixture(t, anthropic.Turn{Text: "ok"})
	for _, runtime := range runtimes {
		began := time.Now()
		f.start(runtime, "--", "-p", "hello").want(t, 0)
		whole := time.Since(began)
		for i := range killMoments / len(runtimes) {
			moment := time.Duration(random.Int64N(int64(whole)))
			t.Run(runtime+"/"+strconv.Itoa(i), func(t *testing.T) {
				killAndCleanUp(t, f, runtime, moment, i%3 == 2)
			})
		}
	}
}

// killAndCleanUp kills the CLI after a while, and its supervisor too when both
// is set.
func killAndCleanUp(t *testing.T, f *fixture, runtime string, after time.Duration, both bool) {
	command := f.command("start", "tester", "--yes", "--quiet", "--runtime", runtime, "--", "-p", "hello")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	select {
	case <-timer.C:
		_ = command.Process.Kill()
	case <-ended:
	}
	if both {
		for _, pid := range supervisors(f) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	<-ended
	eventually(t, "the supervisors end", func() bool { return len(supervisors(f)) == 0 })
	f.run("cleanup", "--yes").want(t, 0)
	if left := f.left(); left != "" {
		t.Errorf("after %s and one cleanup there is left:\n%s", after, left)
	}
	f.run("cleanup", "--dry-run").want(t, 0)
}

// supervisors are the processes that stay with bottles of this fixture.
func supervisors(f *fixture) []int {
	var pids []int
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
		if err != nil || !strings.HasPrefix(string(line), f.binary+"\x00supervise\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestF1SameNameStartsAtOnceAfterAKill(t *testing.T) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			f := newFixture(t, anthropic.Turn{Text: "again"})
			s := f.onTerminal("start", "tester", "--yes", "--runtime", runtime)
			s.shows(ready)
			for _, pid := range supervisors(f) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			_ = s.command.Process.Kill()
			s.ends()
			r := f.start(runtime, "--", "-p", "hello").want(t, 0)
			contains(t, r.stdout, "again")
		})
	}
}

func TestF21OneOfManyStartsOfANameWins(t *testing.T) {
	f := newFixture(t)
	winner := f.onTerminal("start", "tester", "--yes", "--runtime", "runc")
	winner.shows(ready)
	for range 3 {
		r := f.start("runc", "--", "--version").want(t, 3)
		contains(t, r.stderr, "--name")
	}
	winner.types("\x03")
	winner.shows("again to exit")
	winner.types("\x03")
	if code := winner.ends(); code != 0 {
		t.Errorf("the winner ended with %d", code)
	}
}
