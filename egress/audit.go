package egress

import (
	"fmt"
	"time"

	"github.com/claude-bottle/claude-bottle/journal"
)

// maxAudit bounds the log, in bytes.
const maxAudit = 10 << 20

// Kinds of event.
const (
	KindDial    = "dial"    // a connection
	KindName    = "name"    // a name was asked for
	KindRequest = "request" // a request at the gateway
	KindAsk     = "ask"     // a connection is held for the user's answer
	KindChange  = "change"  // the user changed what is allowed
	KindFence   = "fence"   // tried by the bottle's own PID 1 at its start
)

// Event is one line of the audit log. It holds no secret.
type Event struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // one of the Kind constants
	Host   string    `json:"host,omitempty"`
	Port   uint16    `json:"port,omitempty"`
	Method string    `json:"method,omitempty"`
	Path   string    `json:"path,omitempty"`
	// Allowed says what was decided, Reason why not.
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason,omitempty"`
	Status  int    `json:"status,omitempty"` // of the answer to a request
	// Rule is the rule that decided, Sent and Received are bytes from the
	// bottle and to it, and Millis is how long a connection lasted.
	Rule     string `json:"rule,omitempty"`
	Sent     int64  `json:"sent,omitempty"`
	Received int64  `json:"received,omitempty"`
	Millis   int64  `json:"ms,omitempty"`
}

// Audit is a log of what a bottle reached, and of what it was refused.
type Audit struct {
	log      *journal.Log
	watchers watchers
}

// OpenAudit opens the log for appending. The caller closes it.
func OpenAudit(path string) (*Audit, error) {
	opened, err := journal.Open(path, maxAudit)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return &Audit{log: opened}, nil
}

// Log appends an event, with the present time.
func (a *Audit) Log(event Event) error {
	event.Time = time.Now().UTC()
	err := a.log.Append(event)
	a.watchers.tell()
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// Watch returns a channel that has something in it after every line since the
// last look, until stop is called.
func (a *Audit) Watch() (changed <-chan struct{}, stop func()) { return a.watchers.add() }

// Close ends the log.
func (a *Audit) Close() error { return a.log.Close() }
