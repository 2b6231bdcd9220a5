package backend

import "time"

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
}

// Session is how it stands with the claude of a detached bottle that runs.
type Session struct {
	// Started is when claude was started first, Restarts how often again.
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts,omitempty"`
	// Last is how it ended the last time; nil when it never has.
	Last *Outcome `json:"last,omitempty"`
}
