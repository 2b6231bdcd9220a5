package e2e

import (
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
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
	u := newUser(t, anthropic.Turn{Text: "ok"})
	for _, runtime := range bottletest.Runtimes() {
		began := time.Now()
		u.Start(runtime, "--", "-p", "hello").Want(t, 0)
		whole := time.Since(began)
		for i := range killMoments / len(bottletest.Runtimes()) {
			moment := time.Duration(random.Int64N(int64(whole)))
			t.Run(runtime+"/"+strconv.Itoa(i), func(t *testing.T) {
				killAndCleanUp(t, u, runtime, moment, i%3 == 2)
			})
		}
	}
}

// killAndCleanUp kills the CLI after a while, and its supervisor too when both
// is set.
func killAndCleanUp(t *testing.T, u *bottletest.User, runtime string, after time.Duration, both bool) {
	command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime, "--", "-p", "hello")
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
		for _, pid := range u.Supervisors() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	<-ended
	bottletest.Eventually(t, "the supervisors end", func() bool { return len(u.Supervisors()) == 0 })
	u.Run("cleanup", "--yes").Want(t, 0)
	u.NothingLeft(t, after.String()+" and one cleanup")
	u.Run("cleanup", "--dry-run").Want(t, 0)
}

func TestF1SameNameStartsAtOnceAfterAKill(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, anthropic.Turn{Text: "again"})
			s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
			s.Shows(bottletest.Ready)
			bottletest.Abandon(s.Process.Process.Pid, u.Supervisors())
			s.Ends()
			r := u.Start(runtime, "--", "-p", "hello").Want(t, 0)
			bottletest.Contains(t, r.Stdout, "again")
		})
	}
}

func TestF21OneOfManyStartsOfANameWins(t *testing.T) {
	u := newUser(t)
	winner := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc")
	winner.Shows(bottletest.Ready)
	for range 3 {
		r := u.Start("runc", "--", "--version").Want(t, 3)
		bottletest.Contains(t, r.Stderr, "--name")
	}
	if code := leaves(winner); code != 0 {
		t.Errorf("the winner ended with %d", code)
	}
}
