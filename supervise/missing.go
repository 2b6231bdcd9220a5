package supervise

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"golang.org/x/sys/unix"
)

// Missing names the secrets of a plan that this process can't read again: those from the
// environment, the terminal or the files of a client, and those whose source is gone. Home
// stands for ~. No value is in a name, and nothing is run.
func Missing(plan *backend.Plan, home string) []string {
	var names []string
	if variable := plan.Anthropic.Credential.Variable(); variable != "" {
		names = append(names, variable)
	}
	for _, variable := range plan.Env {
		switch variable.Origin {
		case backend.EnvForwarded:
			names = append(names, variable.From)
		case backend.EnvAsked:
			names = append(names, variable.Name)
		}
	}
	sources := egress.Sources{Home: home, Lookup: func(string) (string, bool) { return "", false }}
	for _, route := range plan.Routes {
		if sources.Check(route.Source) != nil {
			names = append(names, "the secret of "+route.Name)
		}
	}
	for _, entry := range plan.SSH {
		if entry.Locked || !readable(entry.From) {
			names = append(names, "the SSH key for "+entry.Host)
		}
	}
	return names
}

// readable says whether a file of this host can be read; one without a path is a client's.
func readable(path string) bool {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for ever
	if err != nil {
		return false
	}
	_ = file.Close()
	return true
}

// toldTimeout is how long after a sandbox this process may hear that all are told to end.
const toldTimeout = 500 * time.Millisecond

// cut says that claude ended as it does when its sandbox is told to end, and nobody had
// wished that. The lock is held.
func (c *claude) cut() bool {
	const terminated = 128 + int(unix.SIGTERM)
	return c.detached && c.outcome != nil && c.ending == "" && (c.outcome.Reason == backend.ReasonLost || c.outcome.ExitCode == terminated)
}

// awaitTold waits for the signal that has ended the sandbox a moment ago, if it was one: when
// a host is shut down all are told at once, and who hears it first is chance.
func (s *supervisor) awaitTold(ctx context.Context) {
	s.claude.mu.Lock()
	cut := s.claude.cut()
	s.claude.mu.Unlock()
	if !cut {
		return
	}
	timer := time.NewTimer(toldTimeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// lose notes what goes with a bottle that is ended by nobody's wish.
func (s *supervisor) lose(sandbox Sandbox) {
	const why = "the host was shut down, or the supervisor told to end"
	var missing []string
	if forgetful, ok := sandbox.(Forgetful); ok {
		missing = forgetful.Missing()
	}
	s.claude.mu.Lock()
	defer s.claude.mu.Unlock()
	c := s.claude
	c.why, c.missing = cmp.Or(c.why, why), missing
	if c.cut() {
		c.outcome.Reason, c.outcome.Message, c.outcome.Missing = backend.ReasonLost, why, missing
	}
}
