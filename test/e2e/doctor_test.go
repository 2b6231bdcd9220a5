package e2e

import (
	"encoding/json"
	"testing"

	"github.com/claude-bottle/claude-bottle/doctor"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestDoctorHasClaudeAnswerOnEachRuntime without a word to the user's API.
func TestDoctorHasClaudeAnswerOnEachRuntime(t *testing.T) {
	u := newUser(t)
	r := u.Run("doctor", "-o", "json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("%v in %s\nstderr: %s", err, r.Stdout, r.Stderr)
	}
	answered := 0
	for _, check := range report.Checks {
		if check.Name == "pairs" && check.Status != doctor.OK {
			t.Errorf("what ships is to be in the table: `claude-bottle doctor -o json | go run ./hack/pairs` adds it: %+v", check)
		}
		if check.Name == "claude-gvisor" || check.Name == "claude-runc" {
			answered++
			if check.Status != doctor.OK {
				t.Errorf("it says %+v", check)
			}
			bottletest.Contains(t, check.Found, "(Claude Code) answered")
		}
	}
	if answered != len(bottletest.Runtimes()) || len(u.API.Requests()) != 0 {
		t.Errorf("%d answered, and the user's API was asked %d times: %s", answered, len(u.API.Requests()), r.Stdout)
	}
}
