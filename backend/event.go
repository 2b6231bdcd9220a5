package backend

import "time"

// Event is one thing that has happened to a detached bottle, for people to read. Nothing
// is decided by it.
type Event struct {
	Time    time.Time `json:"time"`
	Type    EventType `json:"type"`
	Reason  string    `json:"reason"` // one word, as Started
	Message string    `json:"message,omitempty"`
}

// EventType says whether an event is as it should be.
type EventType string

// The types, as in Kubernetes.
const (
	EventNormal  EventType = "Normal"
	EventWarning EventType = "Warning"
)
