package chaostest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/relaytest"
)

// callVictims are what is struck at a call: the process that makes it, the command and
// every supervisor, or nothing but the connection.
func callVictims() []string { return []string{"caller", "command and supervisor", "connection"} }

// callPoint is a strike at one call of containerd's that a start and a stop make.
type callPoint struct {
	runtime, victim string
	number          int
	after           bool
}

// String implements fmt.Stringer.
func (p callPoint) String() string {
	when := "before"
	if p.after {
		when = "after"
	}
	return fmt.Sprintf("start --detach and stop, %s, %s struck %s call %d", p.runtime, p.victim, when, p.number)
}

// Calls strikes at each call to containerd that a start and a stop of a bottle make, before
// and after it: options choose how many of these points are tried, all of them with
// Points 0. The user's program reaches the daemon by a relay from now on.
func Calls(u *bottletest.User, options Options) {
	u.Helper()
	relay := relaytest.New(u, u.Daemon.Address)
	u.Address = relay.Address
	began := time.Now()
	c := &calls{run: &run{User: u, backend: u.Backend(u), alone: true}, relay: relay, struck: map[string]int{}}
	var points []callPoint
	for _, runtime := range bottletest.Runtimes() {
		c.live(runtime) // to warm up
		relay.Arm(relaytest.Point{})
		c.live(runtime)
		count := len(relay.Disarm())
		u.Logf("a start and a stop on %s make %d calls", runtime, count)
		for number := range count {
			for _, victim := range callVictims() {
				for _, after := range []bool{false, true} {
					points = append(points, callPoint{runtime, victim, number + 1, after})
				}
			}
		}
	}
	random := rand.New(rand.NewPCG(options.Seed, 3))
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	all := len(points)
	if options.Points > 0 {
		points = points[:min(options.Points, all)]
	}
	for i, p := range points {
		if options.Only > 0 && i+1 != options.Only {
			continue
		}
		before := u.Failed()
		method := c.try(p)
		if u.Failed() && !before {
			u.Errorf("the first point that fails is %s, %s; CHAOS_SEED=%d CHAOS_POINT=%d repeats it", p, method, options.Seed, i+1)
		}
	}
	u.Logf("seed %d, %s: %d of %d points; struck were %v; %d files of work were there and are, %d lives went on to their end",
		options.Seed, time.Since(began).Round(time.Second), len(points), all, c.struck, c.saved, c.undisturbed)
	if struck := len(points) - c.struck["none"]; struck < len(points)/2 && options.Only == 0 {
		u.Errorf("only %d points were met", struck)
	}
}

// calls is one run of strikes at calls.
type calls struct {
	*run
	relay   *relaytest.Relay
	running atomic.Pointer[os.Process] // the command
	struck  map[string]int             // by method
}

// live is one life that nothing happens to.
func (c *calls) live(runtime string) {
	c.Helper()
	if err := c.story(runtime); err != nil {
		c.Fatal(err)
	}
	c.settle("a life on " + runtime)
}

// story starts a detached bottle, waits for its work, and stops it.
func (c *calls) story(runtime string) error {
	c.does(long)
	for _, args := range [][]string{
		{"start", "tester", "--yes", "--quiet", "--detach", "--runtime", runtime}, {"stop", "tester"},
	} {
		command := c.command(args...)
		var said bottletest.Page
		command.Stderr = &said
		if err := command.Start(); err != nil {
			c.Fatal(err)
		}
		c.running.Store(command.Process)
		late := time.AfterFunc(bottletest.Patience, func() { _ = command.Process.Kill() })
		err := command.Wait()
		if !late.Stop() {
			c.Fatalf("%v does not end; it said %s", args, said.String())
		}
		if err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, strings.TrimSpace(said.String()))
		}
		if args[0] == "start" {
			bottletest.Eventually(c, "claude is at work, or its bottle is gone", func() bool { return len(c.work()) == 1 || len(c.Supervisors()) == 0 })
		}
	}
	return nil
}

// try strikes at one point, and wants nothing to be lost and nothing to be left.
func (c *calls) try(p callPoint) (method string) {
	c.Helper()
	var work []string
	method = "none"
	c.relay.Arm(relaytest.Point{Number: p.number, After: p.after, Strike: func(call relaytest.Call) {
		work, method = c.work(), call.Method
		switch p.victim {
		case "caller":
			signal([]int{call.PID}, syscall.SIGKILL)
		case "command and supervisor":
			signal(c.Supervisors(), syscall.SIGKILL)
			_ = c.running.Load().Kill() // one that has ended is left alone
		}
	}})
	err := c.story(p.runtime)
	c.relay.Disarm()
	if method == "none" && err != nil {
		c.Errorf("%s: nothing was struck, and it ended with %v", p, err)
	}
	if err == nil {
		c.undisturbed++
	}
	c.struck[method]++
	c.settleWith(fmt.Sprintf("%s, %s, it ended with %v", p, method, err), work)
	return method
}
