package supervise

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// memory is a directory whose files reach no disk.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "again") //nolint:usetesting // t.TempDir may be on a disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestWhatADetachedBottleNeedsAgainIsNotedWithAllThatWasSaid(t *testing.T) {
	run := memory(t)
	config := Config{ID: "tester-00001", Run: run, Credential: "secret", Backend: json.RawMessage("{}")}
	s := &supervisor{config: config, claude: newClaude(nil), again: newAgainNotes(config)}
	if err := s.issued([]byte("token")); err != nil {
		t.Fatal(err)
	}
	s.claude.starts()
	s.noteChange(t.Context(), Change{Kind: kindAllow, Entry: "one.example:443"})
	if _, err := ReadAgain(run); !errdefs.IsNotFound(err) {
		t.Errorf("of a bottle that is not detached there is something: %v", err)
	}
	s.claude.detached = true
	s.noteAgain(t.Context())
	s.noteChange(t.Context(), Change{Kind: kindDeny, Entry: "one.example:443"})

	read, err := ReadAgain(run)
	if err != nil {
		t.Fatal(err)
	}
	if read.Credential != "secret" || string(read.Again.Token) != "token" || len(read.Again.Changes) != 2 || read.Again.Session.Started.IsZero() {
		t.Errorf("it reads %+v %+v", read, read.Again)
	}
	info, err := os.Stat(filepath.Join(run, AgainFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v %v", info, err)
	}
	next := newClaude(read.Again)
	if !next.isDetached() || next.take() || !next.started().Equal(read.Again.Session.Started) {
		t.Errorf("the next supervisor begins with %+v", next.session)
	}
}

func TestSecretsOfADetachedBottleReachNoDisk(t *testing.T) {
	if memory, err := inMemory("/proc"); err != nil || memory {
		t.Errorf("what is no memory is taken for it: %v", err)
	}
	if err := writeAgain(Config{Run: "/proc"}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("it was written: %v", err)
	}
}

func TestWhatALostBottleEndedWithIsNotWrittenOver(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, backend.StateOutcome)
	for _, known := range []backend.Outcome{{Reason: backend.ReasonCompleted, Finished: time.Unix(1, 0).UTC()}, {}} {
		_ = os.Remove(path)
		want := backend.ReasonLost
		if known.Reason != "" {
			want = known.Reason
			if err := writeNote(path, known); err != nil {
				t.Fatal(err)
			}
		}
		if err := NoteLost(state, "gone", []string{"KEY"}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		var noted backend.Outcome
		if err != nil || json.Unmarshal(data, &noted) != nil || noted.Reason != want || noted.WaitsForCredentials() != (want == backend.ReasonLost) {
			t.Errorf("it holds %s, wanted is %s: %v", data, want, err)
		}
	}
}
