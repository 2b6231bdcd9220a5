package main

import (
	"testing"

	"github.com/claude-bottle/claude-bottle/engine"
)

func TestEngineStopSaysWhatItHasStopped(t *testing.T) {
	for want, before := range map[string]engine.Status{
		"the engine does not run: nothing was stopped":                                   {},
		"stopped the engine (process 7)":                                                 {PID: 7, Keeper: 8},
		"stopped the engine (process 8)":                                                 {Keeper: 8},
		"stopped the engine (process 7); what it ran lives on: claude-bottle/a, other/b": {PID: 7, Tasks: []string{"claude-bottle/a", "other/b"}},
	} {
		if got := stoppedEngine(before); got != want {
			t.Errorf("%+v: %q, want %q", before, got, want)
		}
	}
}
