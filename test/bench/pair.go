package bench

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// side is one of two things that do the same work.
type side struct {
	name string
	do   func() error
	// after undoes what do has made, off the clock; it may be nil.
	after func() error
}

// compare runs both sides in turn and prints their medians, which it returns, and
// the ratio of a to b, with the spread of the ratio over the pairs.
func compare(t *testing.T, what string, pairs int, a, b side) [2]time.Duration {
	t.Helper()
	var took [2][]time.Duration
	var ratios []float64
	for i := range pairs + 1 {
		var now [2]time.Duration
		for j, each := range []side{a, b} {
			began := time.Now()
			if err := each.do(); err != nil {
				t.Fatalf("%s: %s: %v", what, each.name, err)
			}
			now[j] = time.Since(began)
			if each.after == nil {
				continue
			}
			if err := each.after(); err != nil {
				t.Fatalf("%s: %s: %v", what, each.name, err)
			}
		}
		if i == 0 {
			continue // to warm up
		}
		took[0], took[1] = append(took[0], now[0]), append(took[1], now[1])
		ratios = append(ratios, now[0].Seconds()/now[1].Seconds())
	}
	for i := range took {
		slices.Sort(took[i])
	}
	slices.Sort(ratios)
	middle := pairs / 2
	fmt.Printf("%-34s %-16s %8.0f ms   %-16s %8.0f ms   ratio %.2f (%.2f to %.2f)\n", what,
		a.name, took[0][middle].Seconds()*1000, b.name, took[1][middle].Seconds()*1000, ratios[middle], ratios[0], ratios[len(ratios)-1])
	return [2]time.Duration{took[0][middle], took[1][middle]}
}

// command is a side that runs a program, and wants it to succeed.
func command(name string, make func() *exec.Cmd) side {
	return side{name: name, do: func() error {
		cmd := make()
		output, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, output)
		}
		return nil
	}}
}

// pairs is how often each pair runs: BENCH_PAIRS, or 11.
func pairs(t *testing.T) int {
	t.Helper()
	count := 11
	if text := os.Getenv("BENCH_PAIRS"); text != "" {
		if _, err := fmt.Sscan(text, &count); err != nil || count < 1 {
			t.Fatalf("BENCH_PAIRS is %q: give a number", text)
		}
	}
	return count
}
