package supervise

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
)

// claudes opens the neck as a bottle does. Each session of claude's ends with the next of
// the codes; when there is none left it goes on until it is told to end, by 143.
func (r *running) claudes(codes ...int) {
	r.Helper()
	r.guest(func(request neck.Request, stream neck.Stream) {
		if request.Kind != neck.KindSession && request.Kind != neck.KindAttach {
			return
		}
		command := neck.NewCommand(stream)
		_ = command.Position(neck.Position{})
		if len(codes) > 0 {
			code := codes[0]
			codes = codes[1:]
			_ = command.Exit(neck.ExitStatus{Code: code})
			return
		}
		for {
			event, err := command.Next()
			if err != nil {
				return
			}
			if event.Signal != "" {
				_ = command.Exit(neck.ExitStatus{Code: 143})
				return
			}
		}
	})
}

// detached begins claude and detaches the bottle, as its launcher does.
func (r *running) detached() {
	r.Helper()
	if err := r.client.Begin(r.Context(), &neck.SessionRequest{Argv: []string{"claude"}}); err != nil {
		r.Fatal(err)
	}
	if err := r.client.Detach(r.Context()); err != nil {
		r.Fatal(err)
	}
}

// outcome is how it went, once the bottle has gone.
func (r *running) outcome() (outcome backend.Outcome, reasons []string) {
	r.Helper()
	if err := r.ends(); err != nil {
		r.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(r.config.State, backend.StateOutcome))
	if err != nil {
		r.Fatal(err)
	}
	if err := json.Unmarshal(data, &outcome); err != nil {
		r.Fatal(err)
	}
	events, err := ReadEvents(r.config.State)
	if err != nil {
		r.Fatal(err)
	}
	for _, event := range events {
		reasons = append(reasons, event.Reason)
	}
	return outcome, reasons
}

func TestClaudeIsStartedAgainAsLongAsItWasDeclaredSo(t *testing.T) {
	for name, test := range map[string]struct {
		life     *backend.Life
		codes    []int
		code     int
		restarts int
		reason   string
		events   []string
	}{
		"never": {
			nil, []int{7}, 7, 0, backend.ReasonError,
			[]string{"Started", backend.ReasonError},
		},
		"on failure, until it succeeds": {
			&backend.Life{Restart: backend.RestartOnFailure}, []int{7, 0}, 0, 1, backend.ReasonCompleted,
			[]string{"Started", "Restarting", "Started", backend.ReasonCompleted},
		},
		"on failure, not after success": {
			&backend.Life{Restart: backend.RestartOnFailure}, []int{0}, 0, 0, backend.ReasonCompleted,
			[]string{"Started", backend.ReasonCompleted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(config *Config) { config.Life = test.life })
			r.claudes(test.codes...)
			r.detached()
			outcome, reasons := r.outcome()
			if outcome.ExitCode != test.code || outcome.Restarts != test.restarts || outcome.Reason != test.reason {
				t.Errorf("it ended as %+v", outcome)
			}
			if !slices.Equal(reasons, test.events) {
				t.Errorf("its events are %v", reasons)
			}
		})
	}
}

func TestABottleThatWaitsForItsNextClaudeCanBeStopped(t *testing.T) {
	r := run(t, func(config *Config) { config.Life = &backend.Life{Restart: backend.RestartAlways} })
	r.claudes(3, 4)
	r.detached()
	// The second time it waits.
	for {
		data, err := os.ReadFile(filepath.Join(r.config.State, backend.StateSession))
		var session backend.Session
		if err == nil && json.Unmarshal(data, &session) == nil && session.Last != nil && session.Last.ExitCode == 4 {
			break
		}
		select {
		case err := <-r.ended:
			t.Fatal("it has ended", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	client, err := Connect(t.Context(), r.config.Run)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if outcome, _ := r.outcome(); outcome.Reason != backend.ReasonStopped || outcome.ExitCode != 4 || outcome.Restarts != 1 {
		t.Errorf("it ended as %+v", outcome)
	}
}

func TestABottleEndsAtItsDeadlineAndWhenNothingHappensInIt(t *testing.T) {
	for reason, life := range map[string]backend.Life{
		backend.ReasonDeadline: {ActiveDeadlineSeconds: 1, IdleTimeoutSeconds: 3600, Restart: backend.RestartAlways},
		backend.ReasonIdle:     {ActiveDeadlineSeconds: 3600, IdleTimeoutSeconds: 1, Restart: backend.RestartAlways},
	} {
		t.Run(reason, func(t *testing.T) {
			r := run(t, func(config *Config) { config.Life = &life })
			r.claudes()
			r.detached()
			if outcome, _ := r.outcome(); outcome.Reason != reason || outcome.ExitCode != 143 {
				t.Errorf("it ended as %+v", outcome)
			}
		})
	}
}

func TestF20_ADeadlineIsNoFurtherAwayThanItWasDeclared(t *testing.T) {
	for name, started := range map[string]time.Time{
		"long past": time.Now().Add(-24 * 365 * time.Hour), "in the future": time.Now().Add(24 * 365 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(config *Config) {
				config.Life = &backend.Life{ActiveDeadlineSeconds: 1}
				config.Again = &Again{Token: make([]byte, 32), Session: backend.Session{Started: started}}
			})
			r.claudes()
			if outcome, _ := r.outcome(); outcome.Reason != backend.ReasonDeadline {
				t.Errorf("it ended as %+v", outcome)
			}
		})
	}
}

func TestTheBackOffGrowsUntilClaudeHasRunWell(t *testing.T) {
	var delays backOff
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, lastBackOff, lastBackOff}
	for i, delay := range want {
		if got := delays.next(time.Second); got != delay {
			t.Errorf("before start %d it waits %v, want %v", i+1, got, delay)
		}
	}
	if got := delays.next(goodRun); got != 0 {
		t.Errorf("after a good run it waits %v", got)
	}
}

func TestWhatGoesThroughAStreamIsNoIdleness(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	s := &supervisor{config: Config{Life: &backend.Life{IdleTimeoutSeconds: 1}}, idle: newIdle()}
	stream := s.through(neck.Stream{Conn: near})
	long := s.idle.epoch.Add(-time.Hour)
	for name, move := range map[string]func(){
		"written": func() {
			go func() { _, _ = far.Read(make([]byte, 1)) }()
			_, _ = stream.Write([]byte{1})
		},
		"read": func() {
			go func() { _, _ = far.Write([]byte{1}) }()
			_, _ = stream.Read(make([]byte, 1))
		},
		"said": func() { _, _ = s.idle.writer(io.Discard).Write(nil) },
	} {
		s.idle.epoch = long
		s.idle.last.Store(0)
		if s.idle.since() < time.Hour {
			t.Fatal("the clock stands")
		}
		if move(); s.idle.since() > time.Minute {
			t.Errorf("what was %s is not noted", name)
		}
	}
}

func TestF3_WhatWasToEndIsEndedByTheNextSupervisor(t *testing.T) {
	r := run(t, func(config *Config) {
		config.Again = &Again{Token: make([]byte, 32), Ending: backend.ReasonDeadline, Session: backend.Session{Started: time.Now()}}
	})
	r.claudes()
	if outcome, _ := r.outcome(); outcome.Reason != backend.ReasonDeadline {
		t.Errorf("it ended as %+v", outcome)
	}
}
