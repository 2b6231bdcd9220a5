package runtime

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
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

// oldDaemon says that it is of a version.
type oldDaemon struct {
	versionapi.UnimplementedVersionServer
	version string
}

func (d oldDaemon) Version(context.Context, *emptypb.Empty) (*versionapi.VersionResponse, error) {
	return &versionapi.VersionResponse{Version: d.version}, nil
}

func TestF8_ADaemonThatIsTooOldIsRefused(t *testing.T) {
	dir := private(t)
	for version, want := range map[string]bool{"1.5.18": false, "v1.2.3": false, "nonsense": false, "1.6.0": true, "v2.4.2": true} {
		path := filepath.Join(dir, version+".sock")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		versionapi.RegisterVersionServer(server, oldDaemon{version: version})
		go func() { _ = server.Serve(listener) }()
		client, err := Connect(t.Context(), Options{Address: path, Namespace: "x"})
		switch {
		case want && err != nil:
			t.Errorf("%s: %v", version, err)
		case want:
			_ = client.Close()
		case !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "1.6 or newer"):
			t.Errorf("%s: %v", version, err)
		}
		server.Stop()
	}
}
