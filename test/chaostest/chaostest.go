// Package chaostest kills, stops and restarts what takes part in a bottle: at random
// moments and at each step of a start, of a detached life, of what its user does with it,
// and of cleanups. After each strike one cleanup has to leave nothing (I1), and work that
// was there has to be there still (I2). It is run short by `make integration` and long by
// `make chaos`. No program imports it.
package chaostest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// Seed is the one that is taken when nobody says another.
const Seed = 20261126

// Options say how much of it there is.
type Options struct {
	// Points is how many strikes there are, each on a bottle of its own.
	Points int
	// Restarts is how many of them kill containerd and start it again, at least.
	Restarts int
	// Seed chooses them. The same numbers give the same points.
	Seed uint64
	// Only is the one point that is tried, counted from 1; 0 tries all.
	Only int
}

// Run strikes at each point, and says of each that fails how it is repeated.
func Run(u *bottletest.User, options Options) {
	u.Helper()
	began := time.Now()
	r := &run{User: u, backend: u.Backend(u), random: rand.New(rand.NewPCG(options.Seed, 2)), whole: map[string]time.Duration{}}
	for _, runtime := range bottletest.Runtimes() {
		r.whole[runtime] = r.measure(runtime)
	}
	struck := map[string]int{}
	for i, p := range points(options) {
		if options.Only > 0 && i+1 != options.Only {
			continue
		}
		before := u.Failed()
		r.try(p)
		struck[p.victim]++
		if (i+1)%100 == 0 {
			u.Logf("%d points in %s", i+1, time.Since(began).Round(time.Second))
		}
		if u.Failed() && !before {
			u.Errorf("the first point that fails is %s; CHAOS_SEED=%d CHAOS_POINTS=%d CHAOS_POINT=%d repeats it", p, options.Seed, options.Points, i+1)
		}
	}
	u.Logf("seed %d, %s: struck were %v; %d files of work were there and are, %d commands ended as if nothing had been",
		options.Seed, time.Since(began).Round(time.Second), struck, r.saved, r.undisturbed)
}

// point is one strike.
type point struct {
	story   story
	runtime string
	victim  string
	// step is the one that has just begun when it strikes; without one it strikes when
	// part of the time is over that the story takes.
	step string
	part float64
	// alone says that no controller watches over it.
	alone bool
	// hang is how long what is stopped stands still.
	hang time.Duration
}

// String implements fmt.Stringer.
func (p point) String() string {
	when := fmt.Sprintf("after %.2f of its time", p.part)
	if p.step != "" {
		when = "at the step " + p.step
	}
	watched := "with a controller"
	if p.alone {
		watched = "without a controller"
	}
	return fmt.Sprintf("%s, %s, %s, %s struck %s", p.story.name, p.runtime, watched, p.victim, when)
}

// points are all kinds of strikes, shuffled, over and over, until there are enough.
func points(options Options) []point {
	random := rand.New(rand.NewPCG(options.Seed, 1))
	var restarts, others []point
	for round := 0; len(restarts)+len(others) < options.Points || len(restarts) < options.Restarts; round++ {
		var kinds []point
		for _, runtime := range bottletest.Runtimes() {
			for _, tale := range stories() {
				for _, victim := range victims() {
					p := point{story: tale, runtime: runtime, victim: victim, part: random.Float64(), alone: random.IntN(2) == 0, hang: time.Duration(50+random.IntN(250)) * time.Millisecond}
					if len(tale.steps) > 0 && round%2 == 1 {
						p.step = tale.steps[random.IntN(len(tale.steps))]
					}
					kinds = append(kinds, p)
				}
			}
		}
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, p := range kinds {
			if p.victim == "containerd" || p.victim == "everything" {
				restarts = append(restarts, p)
			} else {
				others = append(others, p)
			}
		}
	}
	share := max(options.Restarts, options.Points*len(restarts)/(len(restarts)+len(others)))
	chosen := slices.Concat(restarts[:share], others[:options.Points-share])
	random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen
}

// run is one run of many points.
type run struct {
	*bottletest.User
	backend     backend.Backend
	random      *rand.Rand
	whole       map[string]time.Duration // of a start, a runtime
	alone       bool                     // no controller is started in this point
	saved       int
	undisturbed int
}

// does tells claude what to run in the bottles to come.
func (r *run) does(command string) {
	r.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\nenv:\n  FAKE_CLAUDE_RUN: \""+command+"\"\n---\n")
}

// command is the program, which starts no controller when the point has none.
func (r *run) command(args ...string) *exec.Cmd {
	command := r.Command(args...)
	if r.alone {
		command.Env = append(command.Env, "CLAUDE_BOTTLE_NO_CONTROLLER=yes")
	}
	return command
}

// measure is how long a start takes that nothing happens to.
func (r *run) measure(runtime string) time.Duration {
	r.does(brief)
	r.Start(runtime, "--quiet").Want(r, 0) // to warm up
	r.settle("the first start")
	began := time.Now()
	r.Start(runtime, "--quiet").Want(r, 0)
	took := time.Since(began)
	r.settle("the second start")
	return took
}

// try strikes at one point, and wants nothing to be lost and nothing to be left.
func (r *run) try(p point) {
	r.Helper()
	r.alone = p.alone
	if p.story.prepare != nil {
		p.story.prepare(r, p.runtime)
	}
	if p.story.claude != "" {
		r.does(p.story.claude)
	}
	args := append([]string{"--log-level", "debug"}, p.story.args...)
	if p.story.launches {
		args = append(args, "--runtime", p.runtime)
	}
	command := r.command(args...)
	said := &bottletest.Page{}
	command.Stderr = said
	if err := command.Start(); err != nil {
		r.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = command.Wait() }()
	r.await(p, said, ended)
	work := r.work()
	r.strike(p, command, ended)
	if p.story.endless {
		_ = command.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-ended:
	case <-time.After(bottletest.Patience):
		_ = command.Process.Kill()
		r.Fatalf("%s: the command does not end; it said %s", p, said)
	}
	code := command.ProcessState.ExitCode()
	if strings.HasPrefix(p.victim, "stopped ") && !p.story.endless && code != 0 {
		r.Errorf("%s: what only stood still for a while made it end with %d: %s", p, code, said)
	}
	if code == 0 {
		r.undisturbed++
		if p.story.check != nil {
			p.story.check(r, p)
		}
	}
	r.isThere(p.String(), work)
	r.settleWith(p.String()+", it said "+said.String(), work)
}

// await waits for the moment of a point, or for the end of the command.
func (r *run) await(p point, said *bottletest.Page, ended <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	moment := time.Duration(p.part * p.story.lasts * float64(r.whole[p.runtime]))
	for began := time.Now(); ; {
		if p.step == "" && time.Since(began) >= moment || p.step != "" && strings.Contains(said.String(), `step="`+p.step+`"`) {
			return
		}
		select {
		case <-ended:
			return
		case <-tick.C:
		}
	}
}

// Environment are the options that CHAOS_POINTS, CHAOS_SEED and CHAOS_POINT give.
func Environment(t testing.TB, points int) Options {
	t.Helper()
	options := Options{Points: points, Seed: Seed}
	for name, into := range map[string]any{"CHAOS_POINTS": &options.Points, "CHAOS_SEED": &options.Seed, "CHAOS_POINT": &options.Only} {
		if text := os.Getenv(name); text != "" {
			if _, err := fmt.Sscan(text, into); err != nil {
				t.Fatalf("%s is %q: give a number", name, text)
			}
		}
	}
	return options
}
