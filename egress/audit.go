package egress

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxAudit bounds the log; when it is full it becomes the older one, of which
// there is one.
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
	path string
	mu   sync.Mutex
	file *os.File
	size int64

	watchers watchers
}

// OpenAudit opens the log for appending. The caller closes it.
func OpenAudit(path string) (*Audit, error) {
	a := &Audit{path: path}
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Audit) open() error {
	file, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open audit log: %w", err)
	}
	a.file, a.size = file, info.Size()
	return nil
}

// Log appends an event, with the present time.
func (a *Audit) Log(event Event) error {
	event.Time = time.Now().UTC()
	line, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode audit event: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return os.ErrClosed
	}
	if a.size+int64(len(line)) > maxAudit {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	n, err := a.file.Write(append(line, '\n'))
	a.size += int64(n)
	a.watchers.tell()
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

func (a *Audit) rotate() error {
	if err := os.Rename(a.path, a.path+".1"); err != nil {
		return fmt.Errorf("rotate audit log: %w", err)
	}
	_ = a.file.Close()
	a.file = nil
	return a.open()
}

// Watch returns a channel that has something in it after every line since the
// last look, until stop is called.
func (a *Audit) Watch() (changed <-chan struct{}, stop func()) { return a.watchers.add() }

// Close ends the log.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
