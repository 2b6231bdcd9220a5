package containerdtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// TestImage is the small image that hack/setup.sh makes for tests: a busybox
// userland and a stand-in for claude.
const TestImage = "docker.io/claude-bottle/test:latest"

const importTimeout = 5 * time.Minute

// ImportTestImage imports and unpacks TestImage into the namespace.
func (d *Daemon) ImportTestImage(t testing.TB, namespace string) {
	t.Helper()
	d.ImportImage(t, namespace, filepath.Join(d.Libexec, "images", "test.tar"))
}

// ImportImage imports an image archive into the namespace and unpacks it. The
// images are called as the archive calls them.
func (d *Daemon) ImportImage(t testing.TB, namespace, path string) {
	t.Helper()
	if err := d.importImage(namespace, path); err != nil {
		t.Fatalf("import %s: %v", path, err)
	}
}

func (d *Daemon) importImage(namespace, path string) error {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), importTimeout)
	defer cancel()
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w (hack/setup.sh makes it)", err)
	}
	defer func() { _ = file.Close() }()
	images, err := d.client.Import(ctx, file, containerd.WithImageRefTranslator(archive.AddRefPrefix("docker.io/claude-bottle/test")))
	if err != nil {
		return err
	}
	for _, image := range images {
		if err := containerd.NewImage(d.client, image).Unpack(ctx, "overlayfs"); err != nil {
			return fmt.Errorf("unpack %s: %w", image.Name, err)
		}
	}
	return nil
}

// newClient returns a client that finds a daemon that has come back at once.
func newClient(address string) (*containerd.Client, error) {
	return containerd.New(address, containerd.WithTimeout(5*time.Second), containerd.WithExtraDialOpts([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
	}))
}
