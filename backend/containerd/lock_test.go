package containerd

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

func TestF23LockOfADeadHolderIsFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	child := exec.CommandContext(t.Context(), "flock", "--no-fork", "-x", path, "sh", "-c", "echo held; exec sleep 1000")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if alive, err := held(path); err != nil || !alive {
		t.Fatalf("held is %v, %v while a process holds it", alive, err)
	}
	if _, err := acquire(path, false); !errdefs.IsUnavailable(err) {
		t.Fatalf("acquire of a held lock: %v", err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	// The process that was flock, sh and then sleep has
	// died: the kernel let go.
	if alive, err := held(path); err != nil || alive {
		t.Fatalf("held is %v, %v after the holder died", alive, err)
	}
	taken, err := acquire(path, false)
	if err != nil {
		t.Fatal(err)
	}
	taken.release()
}

func TestAcquireNeverHoldsAnUnlinkedLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := acquire(path, false)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := acquire(path, true)
		if err == nil {
			same, statErr := stillThere(second.file, path)
			if statErr != nil || !same {
				err = errdefs.ErrInternal
			}
			second.release()
		}
		got <- err
	}()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	first.release()
	if err := <-got; err != nil {
		t.Fatalf("second holder: %v", err)
	}
}

func TestF21ClaimsOfOneNameNeverShareIDs(t *testing.T) {
	root := t.TempDir()
	l := layout{root: filepath.Join(root, "state"), runRoot: filepath.Join(root, "run")}
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	const starts = 40
	claims := make([]*claim, starts)
	var group sync.WaitGroup
	for i := range claims {
		group.Go(func() {
			made, err := l.claim("demo")
			if err != nil {
				t.Errorf("claim: %v", err)
				return
			}
			claims[i] = made
		})
	}
	group.Wait()
	ranges := map[uint32]bool{}
	for _, made := range claims {
		if made == nil {
			continue
		}
		first, err := hostID(made.id)
		if err != nil {
			t.Fatal(err)
		}
		if ranges[first] {
			t.Errorf("two bottles have the id range from %d on", first)
		}
		ranges[first] = true
		if alive, err := held(made.places.lock()); err != nil || !alive {
			t.Errorf("claim of %s is not held: %v, %v", made.id, alive, err)
		}
		made.abandon()
	}
	if ids, err := l.ids(); err != nil || len(ids) != 0 {
		t.Errorf("abandoned claims leave %v, %v", ids, err)
	}
}

func TestT47PlantedStateDirectoryIsRefused(t *testing.T) {
	root := t.TempDir()
	for name, plant := range map[string]func(string) error{
		"link":           func(path string) error { return os.Symlink(t.TempDir(), path) },
		"file":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"world-writable": func(path string) error { return os.Mkdir(path, 0o700) },
		"foreign":        func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			l := layout{root: filepath.Join(root, name, "key"), runRoot: filepath.Join(t.TempDir(), "key")}
			if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := plant(l.root); err != nil {
				t.Fatal(err)
			}
			switch name {
			case "world-writable":
				_ = os.Chmod(l.root, 0o777)
			case "foreign":
				if err := os.Chown(l.root, 12345, 12345); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.make(); err == nil {
				t.Fatal("it was taken")
			}
		})
	}
}

func TestNetworkNamespaceHoldsLoopbackAlone(t *testing.T) {
	ns, err := newNetworkNamespace(filepath.Join(t.TempDir(), "netns"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.close()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+ns.path, "sh", "-c",
		"cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/sys/net/ipv4/ip_unprivileged_port_start").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := string(out); got != "    lo\n0\n" {
		t.Errorf("interfaces and first open port: %q", got)
	}
}
