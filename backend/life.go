package backend

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// RestartPolicy says when claude is started again after it has ended, as a pod's.
type RestartPolicy string

// The policies. The empty one is RestartNever.
const (
	RestartNever     RestartPolicy = "Never"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartAlways    RestartPolicy = "Always"
)

// Life is the part of a wish that says how long a bottle lives and what is done
// at the end. It lies on the record and holds no secret. The zero value is a
// bottle that goes with the client which has launched it.
type Life struct {
	// Detached bottles live without a client, until they have finished or are
	// stopped. One that has finished keeps its record, and with it its name.
	Detached bool `json:"detached,omitempty"`
	// Generation counts the changes of the wish, from 1.
	Generation  int64             `json:"generation,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"` // the user's own
	Annotations map[string]string `json:"annotations,omitempty"`
	// Prompt is what claude works on without a terminal; "" is claude on a
	// terminal of its own.
	Prompt        string        `json:"prompt,omitempty"`
	RestartPolicy RestartPolicy `json:"restartPolicy,omitempty"`
	// ActiveDeadlineSeconds ends a bottle so long after its launch, IdleTimeoutSeconds
	// so long after the last byte from or to claude; 0 is never.
	ActiveDeadlineSeconds int64 `json:"activeDeadlineSeconds,omitempty"`
	IdleTimeoutSeconds    int64 `json:"idleTimeoutSeconds,omitempty"`
	// TTLSecondsAfterFinished removes what has finished, unless it holds unsaved
	// work; nil is never.
	TTLSecondsAfterFinished *int64 `json:"ttlSecondsAfterFinished,omitempty"`
}

// Check says what is wrong with a life: an InvalidArgument error.
func (l Life) Check() error {
	switch l.RestartPolicy {
	case "", RestartNever, RestartOnFailure, RestartAlways:
	default:
		return fmt.Errorf("restart policy %s: %s, %s or %s: %w", Printable(string(l.RestartPolicy)), RestartNever, RestartOnFailure, RestartAlways, errdefs.ErrInvalidArgument)
	}
	ttl := int64(0)
	if l.TTLSecondsAfterFinished != nil {
		ttl = *l.TTLSecondsAfterFinished
	}
	if l.ActiveDeadlineSeconds < 0 || l.IdleTimeoutSeconds < 0 || ttl < 0 {
		return fmt.Errorf("a time of a bottle's life is negative: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

// Reasons of an Outcome.
const (
	ReasonCompleted        = "Completed" // claude ended with code 0
	ReasonError            = "Error"     // with another code
	ReasonStopped          = "Stopped"   // by a user
	ReasonDeadlineExceeded = "DeadlineExceeded"
	ReasonIdle             = "Idle"
	ReasonOutOfMemory      = "OOMKilled"
	ReasonLost             = "Lost" // the sandbox went away under claude
)

// Outcome is what there is to say of a detached bottle's claude that can't be seen
// again. It lies in the state directory.
type Outcome struct {
	Started time.Time `json:"started"` // of the present or last run
	// Finished, ExitCode, Reason and Message are of the end of the last run;
	// Finished is zero while there was none, or the next one has begun.
	Finished time.Time `json:"finished,omitzero"`
	ExitCode int       `json:"exitCode"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	Restarts int       `json:"restarts"` // by the restart policy
}
