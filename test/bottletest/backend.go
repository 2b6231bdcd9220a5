package bottletest

import (
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend/containerd"
)

// Backend is the backend that the user's program has, for what no verb does. It is closed
// at the end of the test.
func (u *User) Backend(t testing.TB) *containerd.Backend {
	t.Helper()
	opened, err := containerd.New(t.Context(), containerd.Options{
		Address: u.Address, Root: u.Root, RunRoot: u.RunRoot,
		Init: filepath.Join(filepath.Dir(u.Binary), "bottle-init"), Executable: u.Binary, Libexec: u.Daemon.Libexec,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}
