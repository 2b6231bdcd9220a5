package main

import "testing"

// TestF8_TheDaemonThatHasTheBottlesIsTaken: the host's own first, unless it is away and has
// nothing, or has nothing while the engine has.
func TestF8_TheDaemonThatHasTheBottlesIsTaken(t *testing.T) {
	const away, answers, kept, live = 0, 1, 2, 4
	daemon := func(address string, what int) seenDaemon {
		return seenDaemon{address: address, answers: what&answers != 0, live: what&live != 0, anything: what&(live|kept) != 0}
	}
	for _, test := range []struct {
		own, bundled int
		want         string
	}{
		{away, away, "engine"},
		{away, answers | live, "engine"},
		{away | kept, away, "engine"},
		{away | live, away, "own"},
		{away | live, answers | live, "own"},
		{answers, away, "own"},
		{answers, answers, "own"},
		{answers, away | kept, "engine"},
		{answers, answers | live, "engine"},
		{answers | kept, answers | live, "own"},
		{answers | live, answers | live, "own"},
	} {
		if got := betterDaemon(daemon("own", test.own), daemon("engine", test.bundled)); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}
