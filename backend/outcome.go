package backend

import (
	"fmt"
	"strings"
	"time"
)

// Reasons of an Outcome.
const (
	ReasonCompleted = "Completed" // claude ended with code 0
	ReasonError     = "Error"     // with another code
	ReasonStopped   = "Stopped"   // by a user
	ReasonLost      = "Lost"      // the bottle went away under claude
	ReasonDeadline  = "DeadlineExceeded"
	ReasonIdle      = "IdleTimeout"
	ReasonEvicted   = "Evicted" // it had taken so much of the disk that the host was short of it
)

// Outcome is how it went with the claude of a detached bottle. It lies in the state
// directory, and a bottle that has one goes by the user's word alone.
type Outcome struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	ExitCode int       `json:"exitCode"`
	Reason   string    `json:"reason"`
	Message  string    `json:"message,omitempty"`
	// Restarts is how often claude was started again before that.
	Restarts int `json:"restarts,omitempty"`
	// Missing names what a bottle that was lost can't go on without, and only its user can
	// bring again: secrets that lay in memory alone, or whose source can't be read any more.
	Missing []string `json:"missing,omitempty"`
}

// CredentialsMissing is the word for a bottle that waits for its user to bring its secrets.
const CredentialsMissing = "CredentialsMissing"

// WaitsForCredentials says that the bottle was lost together with its secrets.
func (o *Outcome) WaitsForCredentials() bool { return o != nil && len(o.Missing) > 0 }

// MissingWords say what the bottle of that handle waits for, and how it is brought.
func (o *Outcome) MissingWords(handle string) string {
	return fmt.Sprintf("%s went with the bottle: `claude-bottle resume %s` brings it again", strings.Join(o.Missing, ", "), handle)
}

// Session is how it stands with the claude of a detached bottle that runs.
type Session struct {
	// Started is when claude was started first, Restarts how often again.
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts,omitempty"`
	// Last is how it ended the last time; nil when it never has.
	Last *Outcome `json:"last,omitempty"`
}
