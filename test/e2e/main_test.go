package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// shared is the daemon of all tests here: to import and unpack the real image
// takes longer than most of them.
var shared struct {
	sync.Once
	daemon *containerdtest.Daemon
	err    error
}

// namespace is where the program keeps its bottles unless it is told otherwise.
const namespace = "claude-bottle"

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.daemon != nil {
		if err := shared.daemon.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "close containerd:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// sharedDaemon starts the daemon for the first test that asks, with the default
// image in it.
func sharedDaemon(t *testing.T) *containerdtest.Daemon {
	t.Helper()
	shared.Do(func() {
		shared.daemon, shared.err = containerdtest.Launch(containerdtest.Options{})
		if shared.err == nil {
			shared.daemon.ImportImage(t, namespace, filepath.Join(shared.daemon.Libexec, "images", "default.tar"))
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.daemon
}
