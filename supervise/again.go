package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// AgainFile is the name of the configuration, in the run directory of a detached
// bottle, with which its supervisor can be started again. It holds secrets: where the
// run directory is not in memory it is not written.
const AgainFile = "config.json"

// Again is what a supervisor that takes the place of one that died has to know.
type Again struct {
	// Token is what PID 1 presents.
	Token []byte `json:"token"`
	// Session is how it stands with claude, Request what it is started with again.
	Session backend.Session      `json:"session"`
	Request *neck.SessionRequest `json:"request,omitempty"`
	// Ending is why the bottle is to end; "" when it is not.
	Ending string `json:"ending,omitempty"`
	// Changes are what was said about egress since the launch, in order.
	Changes []Change `json:"changes,omitempty"`
}

// Change is one thing that a user has said about egress.
type Change struct {
	Kind  neck.Kind `json:"kind"`
	Entry string    `json:"entry"`
}

func (a *Again) token() []byte {
	if a == nil {
		return nil
	}
	return a.Token
}

func (a *Again) ending() string {
	if a == nil {
		return ""
	}
	return a.Ending
}

func (a *Again) changes() []Change {
	if a == nil {
		return nil
	}
	return a.Changes
}

// againNotes are what an Again is made of.
type againNotes struct {
	mu      sync.Mutex // held while the file is written, so that the newest is the last
	token   []byte
	changes []Change
}

func newAgainNotes(config Config) *againNotes {
	return &againNotes{token: config.Again.token(), changes: config.Again.changes()}
}

// issued notes the token. It goes with the file of a bottle that is detached later.
func (s *supervisor) issued(token []byte) error {
	s.again.mu.Lock()
	defer s.again.mu.Unlock()
	s.again.token = token
	return nil
}

// noteChange notes what a user has said.
func (s *supervisor) noteChange(ctx context.Context, change Change) {
	s.again.mu.Lock()
	s.again.changes = append(s.again.changes, change)
	s.again.mu.Unlock()
	if s.claude.isDetached() {
		s.noteAgain(ctx)
	}
}

// noteAgain has what there is to know lie in the run directory. A bottle without it is
// taken down when its supervisor dies: no reason to refuse anything.
func (s *supervisor) noteAgain(ctx context.Context) {
	s.claude.mu.Lock()
	session, request, ending := s.claude.session, s.claude.request, s.claude.ending
	s.claude.mu.Unlock()
	s.again.mu.Lock()
	defer s.again.mu.Unlock()
	config := s.config
	config.Again = &Again{Token: s.again.token, Session: session, Request: &request, Ending: ending, Changes: s.again.changes}
	if err := writeAgain(config); err != nil {
		// An older one knows less of what was denied.
		_ = os.Remove(filepath.Join(config.Run, AgainFile))
		log.G(ctx).WithError(err).Warn("no supervisor can take the place of this one")
	}
}

func writeAgain(config Config) error {
	memory, err := inMemory(config.Run)
	if err != nil {
		return err
	}
	if !memory {
		return fmt.Errorf("write configuration: %s is on a disk, and it holds secrets: %w", config.Run, errdefs.ErrFailedPrecondition)
	}
	if err := writeNote(filepath.Join(config.Run, AgainFile), config); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// inMemory says that what is written below path reaches no disk, swap aside.
func inMemory(path string) (bool, error) {
	var system unix.Statfs_t
	if err := unix.Statfs(path, &system); err != nil {
		return false, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	return int64(system.Type) == unix.TMPFS_MAGIC || int64(system.Type) == unix.RAMFS_MAGIC, nil
}

// ReadAgain reads the configuration with which the supervisor of a detached bottle can
// be started again. None is a NotFound error.
func ReadAgain(run string) (Config, error) {
	file, err := os.Open(filepath.Join(run, AgainFile))
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("its supervisor left nothing to go on with: %w", errdefs.ErrNotFound)
	}
	if err != nil {
		return Config{}, fmt.Errorf("open supervisor configuration: %w", err)
	}
	defer func() { _ = file.Close() }()
	return ReadConfig(file)
}

// repeat says again what a user has said about egress.
func (g *gate) repeat(changes []Change) error {
	for _, change := range changes {
		say := g.policy.Deny
		if change.Kind == kindAllow {
			say = g.policy.Allow
		}
		if err := say(change.Entry); err != nil {
			return fmt.Errorf("repeat %s %s: %w", change.Kind, backend.Printable(change.Entry), err)
		}
	}
	return nil
}

// NoteLost notes that the claude of a detached bottle went with it, unless it is known
// how it ended. State is the bottle's state directory, and missing what of its secrets went
// with it.
func NoteLost(state, message string, missing []string) error {
	path := filepath.Join(state, backend.StateOutcome)
	if _, err := os.Lstat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return writeNote(path, backend.Outcome{Finished: time.Now().UTC(), ExitCode: lostCode, Reason: backend.ReasonLost, Message: message, Missing: missing})
}
