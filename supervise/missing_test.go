package supervise

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

// TestWhatIsMissingIsNamedByWhereItCameFrom: what can be read again is not missing, and what
// came from a client is, whatever lies at its path here.
func TestWhatIsMissingIsNamedByWhereItCameFrom(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"token", "key"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("a-secret-of-some-length"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FORGE", "a-secret-of-some-length")
	plan := &backend.Plan{
		Anthropic: backend.PlanAnthropic{Credential: backend.CredentialAPIKey},
		Env: []backend.EnvVariable{
			{Name: "LITERAL", Origin: backend.EnvLiteral}, {Name: "INSIDE", Origin: backend.EnvForwarded, From: "OUTSIDE"}, {Name: "ASKED", Origin: backend.EnvAsked, Prompt: "say it"},
		},
		Routes: []backend.PlanRoute{
			{Name: "environment", Source: "env:FORGE"}, {Name: "file", Source: "file:~/token"}, {Name: "gone", Source: "file:~/nothing"},
			{Name: "program", Source: "command:/bin/cat"}, {Name: "no-program", Source: "command:/nowhere/cat"},
		},
		SSH: []backend.PlanSSH{
			{Host: "here", From: filepath.Join(home, "key")}, {Host: "locked", From: filepath.Join(home, "key"), Locked: true},
			{Host: "of-client"}, {Host: "lost", From: filepath.Join(home, "nothing")},
		},
	}
	got := Missing(plan, home)
	want := []string{
		"ANTHROPIC_API_KEY", "OUTSIDE", "ASKED", "the secret of environment", "the secret of gone", "the secret of no-program",
		"the SSH key for locked", "the SSH key for of-client", "the SSH key for lost",
	}
	if !slices.Equal(got, want) {
		t.Errorf("missing are %q", got)
	}
	if left := Missing(&backend.Plan{}, ""); len(left) != 0 {
		t.Errorf("of no secret %q is missing", left)
	}
}

// TestWhatGoesWithAHostThatIsShutDownIsNamed: the supervisor of a detached bottle is told to
// end by a signal then, and nobody has wished that.
func TestWhatGoesWithAHostThatIsShutDownIsNamed(t *testing.T) {
	r := run(t, func(config *Config) { config.ID = "lamp-k3x9p" })
	r.sandbox.missing = []string{"ANTHROPIC_API_KEY"}
	r.claudes()
	r.detached()
	r.cancel()
	outcome, reasons := r.outcome()
	if outcome.Reason != backend.ReasonLost || !slices.Equal(outcome.Missing, r.sandbox.missing) {
		t.Errorf("it ended as %+v", outcome)
	}
	if !slices.Equal(reasons, []string{"Started", backend.ReasonLost, backend.CredentialsMissing}) {
		t.Errorf("its events are %v", reasons)
	}
}

// TestASandboxThatHearsOfTheEndFirstIsLostAsWell: claude has ended then before its
// supervisor is told.
func TestASandboxThatHearsOfTheEndFirstIsLostAsWell(t *testing.T) {
	for name, test := range map[string]struct {
		code    int
		ending  string
		reason  string
		missing bool
	}{
		"terminated":        {143, "", backend.ReasonLost, true},
		"ended by itself":   {1, "", backend.ReasonError, false},
		"stopped by a user": {143, backend.ReasonStopped, backend.ReasonError, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &claude{detached: true, ending: test.ending, outcome: &backend.Outcome{ExitCode: test.code, Reason: backend.ReasonError}}
			s := &supervisor{claude: c}
			s.lose(&sandbox{missing: []string{"ANTHROPIC_API_KEY"}})
			if c.outcome.Reason != test.reason || c.outcome.WaitsForCredentials() != test.missing {
				t.Errorf("it ended as %+v", c.outcome)
			}
		})
	}
}
