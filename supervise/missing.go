package supervise

import (
	"cmp"
	"os"

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

// lose notes what goes with a bottle that is ended by nobody's wish.
func (s *supervisor) lose(sandbox Sandbox) {
	forgetful, ok := sandbox.(Forgetful)
	if !ok {
		return
	}
	missing := forgetful.Missing()
	s.claude.mu.Lock()
	defer s.claude.mu.Unlock()
	s.claude.why, s.claude.missing = cmp.Or(s.claude.why, "the host was shut down, or the supervisor told to end"), missing
}
