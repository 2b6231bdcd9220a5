package backend

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Names in the state directory of a bottle, beside its places. All of them belong
// to the host; no bottle can reach them.
const (
	StatePlan     = "plan.json"        // the Plan in its JSON form
	StateBaseline = "baseline"         // what the workspace held before claude came
	StateSaved    = "saved"            // what of the workspace is at home by now, in the same form
	StateBase     = "base"             // contents of what went in
	StateApply    = "apply"            // where an apply keeps its own
	StateTips     = "tips"             // object names that the host has, one per line
	StateDeclared = "declaration.json" // the Declaration that holds
	StateSession  = "session.json"     // the Session of a detached bottle
	StateEvents   = "events.jsonl"     // what has happened to the bottle, one JSON line an Event
	StateOutcome  = "outcome.json"     // the Outcome of a detached bottle
	StateLog      = "session.log"      // what claude has said there, one JSON line a piece
	StateCommits  = "commits"          // how many commits the bottle has counted beyond those
	StateSetup    = "setup"            // is there until the Setup of a plan has ended well: so long nothing is kept

	// ApplyJournal lies in StateApply while an apply is under way, or was cut.
	ApplyJournal = "journal.json"
)

// Work is what a bottle has made, while it runs or once it is kept.
type Work struct {
	ID ID `json:"id"`
	// Running says that a process holds the bottle; else only its state is left.
	Running bool `json:"running"`
	// State is the bottle's directory on the host.
	State string `json:"state"`
	// Plan is what the bottle was launched with, as far as its JSON form goes;
	// nil when that can't be read.
	Plan *Plan `json:"plan,omitempty"`
	// Declaration is what holds of what was declared; nil for nothing.
	Declaration *Declaration `json:"declaration,omitempty"`
	Created     time.Time    `json:"created"`
}

// Handle is what the user calls the bottle: its name while it runs, name@suffix
// once it is kept.
func (w *Work) Handle() string {
	if w.Running {
		return w.ID.Name
	}
	return w.ID.Handle()
}

// Path is a file of the state directory.
func (w *Work) Path(name string) string { return filepath.Join(w.State, name) }

// Place is the directory on the host that is mounted at place. What lies in it
// is the agent's: it is walked with care and never a directory to work in.
func (w *Work) Place(place Place) string { return filepath.Join(w.State, string(place)) }

// Among says whether a directory, its links resolved, is that of the bottles or lies in
// it: what a bottle can write is no place to work in.
// A process that has not been told where they lie can't write there either.
func (w *Work) Among(resolved string) (bool, error) {
	if w.State == "" {
		return false, nil
	}
	bottles, err := filepath.EvalSymlinks(filepath.Dir(w.State))
	if err != nil {
		return false, fmt.Errorf("find the directory of bottles: %w", err)
	}
	relative, err := filepath.Rel(bottles, resolved)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../"), nil
}

// Keeper is a Backend that keeps the work of bottles.
type Keeper interface {
	// Find finds a bottle by its name, or by its handle. A name stands for the
	// running bottle of that name, else for the one kept bottle that had it: if
	// there are several that is a Conflict error which lists their handles. None
	// is a NotFound error.
	Find(ctx context.Context, name string) (*Work, error)
	// Take keeps everybody else off a bottle that is kept, until release is
	// called or this process ends. One that is in use is an Unavailable error.
	Take(ctx context.Context, work *Work) (release func(), err error)
	// Enter gets to where commands can be run on the work: into the bottle, or
	// into a helper bottle that has its workspace and nothing else. The caller
	// closes it.
	Enter(ctx context.Context, work *Work) (Inside, error)
	// Remove removes what is kept. The caller has taken it.
	Remove(ctx context.Context, work *Work) error
}

// Inside runs commands where the work of a bottle is. What they print is the
// agent's word.
type Inside interface {
	// Exec runs a command in the workspace and returns its exit code, as
	// ExecClaude does. env are variables beside PATH and HOME.
	Exec(ctx context.Context, argv, env []string, terminal Terminal) (exitCode int, err error)
	// Close lets go. It is idempotent, and takes a helper bottle down.
	Close(ctx context.Context) error
}
