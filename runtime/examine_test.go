package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func TestT43_ASocketIsLookedAtAsConnectDoes(t *testing.T) {
	dir := private(t)
	good, open, file := filepath.Join(dir, "good.sock"), filepath.Join(dir, "open.sock"), filepath.Join(dir, "file")
	listenAt(t, good, 0o660)
	listenAt(t, open, 0o666)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := LookAtSocket(good); got.Refused != nil || got.Missing || got.Mode.Perm() != 0o660 || got.UID != 0 {
		t.Errorf("a good one: %+v", got)
	}
	if got := LookAtSocket(open); !errdefs.IsFailedPrecondition(got.Refused) || got.Mode.Perm() != 0o666 {
		t.Errorf("everybody's: %+v", got)
	}
	if got := LookAtSocket(file); !errdefs.IsInvalidArgument(got.Refused) || got.Missing {
		t.Errorf("a file: %+v", got)
	}
	if got := LookAtSocket(filepath.Join(dir, "none")); !got.Missing || got.Refused == nil {
		t.Errorf("none: %+v", got)
	}
	if got := ListenerPID(good); got != os.Getpid() {
		t.Errorf("process %d listens on it, not %d", got, os.Getpid())
	}
}

func TestTheStrongestRuntimeIsTheFirst(t *testing.T) {
	if got := Policies(); len(got) < 2 || got[0] != backend.RuntimeGVisor {
		t.Errorf("they are %v", got)
	}
}
