package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// shared is the daemon of all tests here: to import and unpack the real image
// takes longer than most of them.
var shared struct {
	sync.Once
	daemon *containerdtest.Daemon
	err    error
}

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
			shared.daemon.ImportImage(t, bottletest.Namespace, filepath.Join(shared.daemon.Libexec, "images", "default.tar"))
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.daemon
}

// newUser returns a user of the real claude, whom the API answers with turns.
func newUser(t *testing.T, turns ...anthropic.Turn) *bottletest.User {
	t.Helper()
	return bottletest.New(t, bottletest.Options{Daemon: sharedDaemon(t), Turns: turns})
}
