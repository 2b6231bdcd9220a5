package backend

import (
	"fmt"
	"strings"
	"time"
)

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
	// Size is what a kept bottle takes of the disk, in bytes, and Unsaved the work
	// in it that is nowhere else; 0 and nil while nobody has looked.
	Size    int64    `json:"size,omitempty"`
	Unsaved *Unsaved `json:"unsaved,omitempty"`
	// Detached says that the bottle lives without a client. Outcome is how it went with
	// its claude, once that has ended.
	Detached bool     `json:"detached,omitempty"`
	Outcome  *Outcome `json:"outcome,omitempty"`
	// Declaration is what a user has declared of it; nil for nothing. Restarts is how
	// often its claude was started again.
	Declaration *Declaration `json:"declaration,omitempty"`
	Restarts    int          `json:"restarts,omitempty"`
	// Fence is the proof that the way out is closed but for what is allowed.
	Fence *Fence `json:"fence,omitempty"`
	// Foreign says that it is of other roots or of another version of the program: it is
	// listed, and left alone.
	Foreign bool `json:"foreign,omitempty"`
	// Helps is the handle of the bottle whose work a helper bottle is there for.
	Helps   string `json:"helps,omitempty"`
	Message string `json:"message,omitempty"`
}

// Lives says that the bottle may take something of the host: it is on its way, runs or ends.
func (s Status) Lives() bool { return s.Phase != PhaseKept && s.Phase != PhaseDead }

// Unsaved is work in a bottle that is nowhere else.
type Unsaved struct {
	// Changed counts files outside the top .git, and content of large files in it,
	// that differ from what went in, or from what came home since; Paths are the
	// first of them.
	Changed int      `json:"changed"`
	Paths   []string `json:"paths,omitempty"`
	// Refs are the first of the branches, tags and the like whose commit the
	// host doesn't have. Commits counts commits by the bottle's own word, -1 when
	// nobody has counted them.
	Refs    []string `json:"refs,omitempty"`
	Commits int      `json:"commits"`
	// Other counts changes inside the top .git that no ref leads to. They are
	// kept at the end of a session, and are no work that is missed.
	Other int `json:"other,omitempty"`
	// Unknown says why it can't be told what has changed; then Changed
	// counts all files, and all of them are taken for work.
	Unknown string `json:"unknown,omitempty"`
	// Workspace is the directory on the host that holds them.
	Workspace string `json:"workspace"`
	Handle    string `json:"handle"`
}

// Any says whether there is work to lose.
func (u Unsaved) Any() bool { return u.Changed > 0 || len(u.Refs) > 0 || u.Unknown != "" }

// Differs says whether there is anything that is nowhere else, work or not.
func (u Unsaved) Differs() bool { return u.Any() || u.Other > 0 }

// maxWords bounds how many files and refs Words names of each.
const maxWords = 5

// Words say what is unsaved on one line, and nothing when nothing is.
func (u Unsaved) Words() string {
	if u.Unknown != "" {
		return fmt.Sprintf("all %d files: %s", u.Changed, Printable(u.Unknown))
	}
	var words []string
	if len(u.Refs) > 0 {
		commits := "commits"
		switch {
		case u.Commits == 1:
			commits = "1 commit"
		case u.Commits >= 0:
			commits = fmt.Sprintf("%d commits", u.Commits)
		}
		words = append(words, commits+" on "+listed(u.Refs, len(u.Refs)))
	}
	switch {
	case u.Changed == 1:
		words = append(words, "1 changed file: "+listed(u.Paths, 1))
	case u.Changed > 1:
		words = append(words, fmt.Sprintf("%d changed files: %s", u.Changed, listed(u.Paths, u.Changed)))
	}
	return strings.Join(words, "; ")
}

// listed names the first of them.
func listed(names []string, count int) string {
	words := make([]string, 0, maxWords+1)
	for _, name := range names[:min(maxWords, len(names))] {
		words = append(words, Printable(name))
	}
	if count > len(words) {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}
