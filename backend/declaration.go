package backend

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Declaration is what a user has declared of a detached bottle beside what is in it: how
// long it lives, and what it is found by. The plan holds it as it was launched; the one
// in the state directory is what holds, and some of it may change while the bottle lives.
type Declaration struct {
	// Labels are the user's own, as kubectl has them.
	Labels map[string]string `json:"labels,omitempty"`
	Life   Life              `json:"life"`
	// Generation counts what was changed since; 1 at the launch.
	Generation int64 `json:"generation,omitempty"`
	// Object is the resource that apply was given, without its status; nil for a bottle
	// that was started otherwise.
	Object json.RawMessage `json:"object,omitempty"`
}

// RestartPolicy says when claude is started again in its bottle once it has ended. The
// words are those of a pod.
type RestartPolicy string

// The policies; "" is RestartNever.
const (
	RestartNever     RestartPolicy = "Never"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartAlways    RestartPolicy = "Always"
)

// Again says whether claude is started again after that exit code.
func (p RestartPolicy) Again(exitCode int) bool {
	return p == RestartAlways || p == RestartOnFailure && exitCode != 0
}

// Life bounds the life of a detached bottle. Zero bounds nothing.
type Life struct {
	Restart RestartPolicy `json:"restart,omitempty"`
	// ActiveDeadlineSeconds end a bottle that runs so long, restarts included.
	ActiveDeadlineSeconds int64 `json:"activeDeadlineSeconds,omitempty"`
	// IdleTimeoutSeconds end a bottle whose claude says nothing, is told nothing, and
	// reaches nothing, for so long.
	IdleTimeoutSeconds int64 `json:"idleTimeoutSeconds,omitempty"`
	// TTLSecondsAfterFinished remove the bottle so long after its claude has ended, when
	// it holds no work that is nowhere else; nil keeps it, 0 removes it at once.
	TTLSecondsAfterFinished *int64 `json:"ttlSecondsAfterFinished,omitempty"`
}

// ActiveDeadline is how long the bottle may run, or 0.
func (l Life) ActiveDeadline() time.Duration {
	return time.Duration(l.ActiveDeadlineSeconds) * time.Second
}

// IdleTimeout is how long nothing may happen in the bottle, or 0.
func (l Life) IdleTimeout() time.Duration { return time.Duration(l.IdleTimeoutSeconds) * time.Second }

// Words say what bounds a life on one line, and nothing when nothing does.
func (l Life) Words() string {
	var words []string
	if l.Restart != "" && l.Restart != RestartNever {
		words = append(words, "claude is started again: "+string(l.Restart))
	}
	if l.ActiveDeadlineSeconds > 0 {
		words = append(words, "ends after "+l.ActiveDeadline().String())
	}
	if l.IdleTimeoutSeconds > 0 {
		words = append(words, "ends when nothing happens for "+l.IdleTimeout().String())
	}
	if ttl := l.TTLSecondsAfterFinished; ttl != nil {
		words = append(words, fmt.Sprintf("is removed %s after its end, unless it holds unsaved work", time.Duration(*ttl)*time.Second))
	}
	return strings.Join(words, "; ")
}

// rows are the lines of a plan about it.
func (d *Declaration) rows(row func(string, string, ...any)) {
	if d == nil {
		return
	}
	if words := d.Life.Words(); words != "" {
		row("life", "%s", words)
	}
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		row("label", "%s=%s", Printable(key), Printable(d.Labels[key]))
	}
}
