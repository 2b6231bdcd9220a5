package backend

import "time"

// Phase is where a bottle is in its life.
type Phase string

// The phases.
const (
	PhaseStarting Phase = "Starting"
	PhaseRunning  Phase = "Running"
	PhaseStopping Phase = "Stopping"
	PhaseDead     Phase = "Dead" // nobody holds it; cleanup removes it
	PhaseKept     Phase = "Kept" // only its work is left
)

// Status is one bottle as seen from outside.
type Status struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`
	Agent     string    `json:"agent"`
	Bottle    string    `json:"bottle"`
	Phase     Phase     `json:"phase"`
	Runtime   string    `json:"runtime,omitempty"`
	Reason    string    `json:"runtimeReason,omitempty"`
	Image     string    `json:"image,omitempty"`
	Plan      string    `json:"plan,omitempty"` // digest
	Created   time.Time `json:"created"`
	Workspace string    `json:"workspace,omitempty"` // directory on the host
	// Fence is the proof that the way out is closed but for what is allowed.
	Fence *Fence `json:"fence,omitempty"`
	// Helps is the handle of the bottle whose work a helper bottle is there for.
	Helps   string `json:"helps,omitempty"`
	Message string `json:"message,omitempty"`
}

// Unsaved is work in a bottle that is nowhere else.
type Unsaved struct {
	// Changed counts files that differ from what went in; Paths are the
	// first of them.
	Changed int      `json:"changed"`
	Paths   []string `json:"paths,omitempty"`
	// Unknown says why it can't be told what has changed; then Changed
	// counts all files, and all of them are taken for work.
	Unknown string `json:"unknown,omitempty"`
	// Workspace is the directory on the host that holds them.
	Workspace string `json:"workspace"`
	Handle    string `json:"handle"`
}

// Any says whether there is anything to lose.
func (u Unsaved) Any() bool { return u.Changed > 0 || u.Unknown != "" }
