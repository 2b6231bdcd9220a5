package supervise

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
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
		if entry.Locked || !readable(entry.From, home) {
			names = append(names, "the SSH key for "+entry.Host)
		}
	}
	return names
}

// readable says whether a file of this host can be read; one without a path is a client's.
func readable(path, home string) bool {
	if below, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, below)
	}
	if path == "" {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	_ = file.Close()
	return true
}
