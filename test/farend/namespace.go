package farend

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace without a name: it goes with the last
// process and descriptor in it.
type Namespace struct{ file *os.File }

const ownNamespace = "/proc/thread-self/ns/net"

// newNamespace makes an empty one that lasts until the test ends.
func newNamespace(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		var err error
		n.file, err = os.Open(ownNamespace)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.file.Close() })
	return n
}

// Do calls do on this goroutine, with its thread in the namespace: sockets that
// are opened and processes that are started meanwhile belong to it.
func (n *Namespace) Do(do func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return do()
	})
}

// onThread calls do on a thread that is back where it was afterwards.
func onThread(do func() error) error {
	runtime.LockOSThread()
	before, err := os.Open(ownNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that can't go back is not let loose on others.
		if unix.Setns(int(before.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		_ = before.Close()
	}()
	return do()
}
