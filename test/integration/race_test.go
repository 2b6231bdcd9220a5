package integration

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// contender is one of several starts of a name.
type contender struct {
	*exec.Cmd
	input          io.WriteCloser
	stdout, stderr bytes.Buffer
}

// contend starts a name several times at once. Claude echoes its input until
// that ends.
func contend(t *testing.T, u *bottletest.User, runtime string, count int) (all []*contender, ended chan *contender) {
	t.Helper()
	ended = make(chan *contender, count)
	for range count {
		one := &contender{Cmd: u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime)}
		one.Stdout, one.Stderr = &one.stdout, &one.stderr
		input, err := one.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		one.input = input
		if err := one.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
		go func() {
			_ = one.Wait() // the code says how
			ended <- one
		}()
	}
	return all, ended
}

// ends waits for the end of the next one.
func ends(t *testing.T, ended chan *contender) *contender {
	t.Helper()
	select {
	case one := <-ended:
		return one
	case <-time.After(bottletest.Patience):
		t.Fatal("more than one has won, or one hangs")
		return nil
	}
}

// again runs a command again and again until done, and wants it to succeed.
func again(t *testing.T, u *bottletest.User, done chan struct{}, args ...string) {
	for {
		select {
		case <-done:
			return
		default:
		}
		command := u.Command(args...)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", args, err, output)
		}
	}
}

// TestF21_F22_StartsCleanupsAndListsAtOnce: of three starts of a name at once
// just one wins and the others say that the name is in use, while two cleanups
// and a list run in loops. The winner is not touched. Every second winner is
// killed, so that the next starts and the cleanups meet at a dead bottle.
func TestF21_F22_StartsCleanupsAndListsAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "cat")
		done := make(chan struct{})
		var loops sync.WaitGroup
		stop := sync.OnceFunc(func() { close(done); loops.Wait() })
		defer stop()
		for _, args := range [][]string{{"cleanup", "--yes"}, {"cleanup", "--yes"}, {"list", "-o", "json"}} {
			loops.Go(func() { again(t, u, done, args...) })
		}
		for round := range 4 {
			compete(t, u, runtime, round%2 == 0)
			if t.Failed() {
				break
			}
		}
		stop()
		bottletest.Eventually(t, "the supervisors end", func() bool { return len(u.Supervisors()) == 0 })
		u.Run("cleanup", "--yes").Want(t, 0)
	})
}

// compete is one round; in the end the winner is killed, or its input ends.
func compete(t *testing.T, u *bottletest.User, runtime string, kill bool) {
	const starts = 3
	all, ended := contend(t, u, runtime, starts)
	defer func() {
		for _, one := range all {
			_ = one.Process.Kill()
		}
	}()
	for range starts - 1 {
		loser := ends(t, ended)
		if code := loser.ProcessState.ExitCode(); code != 3 || !strings.Contains(loser.stderr.String(), "--name") {
			t.Errorf("a loser ends with %d: %s", code, loser.stderr.String())
		}
	}
	for _, one := range all {
		_, _ = io.WriteString(one.input, "a wish\n") // the losers' pipes are broken
	}
	if kill {
		for _, one := range all {
			_ = one.Process.Kill()
		}
		for _, pid := range u.Supervisors() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		ends(t, ended)
		return
	}
	for _, one := range all {
		_ = one.input.Close()
	}
	winner := ends(t, ended)
	if code := winner.ProcessState.ExitCode(); code != 0 || winner.stdout.String() != "a wish\n" {
		t.Errorf("the winner ends with %d, said %q: %s", code, winner.stdout.String(), winner.stderr.String())
	}
	bottletest.Eventually(t, "its supervisor ends", func() bool { return len(u.Supervisors()) == 0 })
}
