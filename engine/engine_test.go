package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestF21_OfManyStartsAtOnceOneStartsTheEngine(t *testing.T) {
	p := newPlace(t)
	const count = 8
	var group sync.WaitGroup
	starts := make(chan bool, count)
	for range count {
		group.Go(func() {
			release, err := p.Use(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			started, err := p.Start(t.Context(), p.keeper(0))
			if err != nil {
				t.Error(err)
			}
			starts <- started
		})
	}
	group.Wait()
	close(starts)
	first := 0
	for started := range starts {
		if started {
			first++
		}
	}
	status := p.status()
	if first != 1 || !status.Running || status.PID == 0 || status.Keeper == 0 || status.InUse {
		t.Errorf("%d say that they started it: %+v", first, status)
	}
	if _, err := os.Stat(p.Address()); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(p.Address()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if err := p.Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if status := p.status(); status.Running || status.PID != 0 || status.Keeper != 0 {
		t.Errorf("it was stopped: %+v", status)
	}
	if _, err := os.Stat(p.Address()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its socket: %v", err)
	}
}

func TestAnEngineThatNobodyUsesEndsByItself(t *testing.T) {
	p := newPlace(t)
	release, err := p.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if started, err := p.Start(t.Context(), p.keeper(100*time.Millisecond)); err != nil || !started {
		t.Fatalf("%v, %v", started, err)
	}
	if err := p.Stop(t.Context(), false); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("stop of one that is in use: %v", err)
	}
	task := filepath.Join(p.state, "io.containerd.runtime.v2.task", "space", "bottle")
	if err := os.MkdirAll(task, 0o700); err != nil {
		t.Fatal(err)
	}
	release()
	if err := p.Stop(t.Context(), false); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "space/bottle") {
		t.Errorf("stop of one that runs a task: %v", err)
	}
	// Longer than the idle time: Stop waited three seconds for the lock above, and now
	// the task holds it.
	if status := p.status(); !status.Running || status.InUse {
		t.Errorf("while a task runs: %+v", status)
	}
	if err := os.Remove(task); err != nil {
		t.Fatal(err)
	}
	p.eventually("it ends", func(s Status) bool { return !s.Running && s.Keeper == 0 && s.PID == 0 })
}

func TestF3_AnEngineOutlivesItsKeeperAndIsTakenOver(t *testing.T) {
	p := newPlace(t)
	p.starts(time.Hour)
	before := p.status()
	if err := syscall.Kill(before.Keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.eventually("the keeper is gone", func(s Status) bool { return s.Keeper == 0 })
	if p.starts(0) {
		t.Error("it says that it has started what was running")
	}
	after := p.eventually("it has the idle time that it was started with", func(s Status) bool { return s.Idle == "1h0m0s" })
	if after.PID != before.PID || after.Keeper == 0 || after.Keeper == before.Keeper {
		t.Errorf("%+v was taken over as %+v", before, after)
	}
	// Without a keeper it is stopped, too.
	if err := syscall.Kill(p.status().Keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.eventually("the keeper is gone", func(s Status) bool { return s.Keeper == 0 })
	if err := p.Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if status := p.status(); status.Running || status.PID != 0 {
		t.Errorf("it was stopped: %+v", status)
	}
}

func TestF7_ADaemonThatDiesInUseIsStartedAgain(t *testing.T) {
	p := newPlace(t)
	release, err := p.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Start(t.Context(), p.keeper(time.Hour)); err != nil {
		t.Fatal(err)
	}
	before := p.status()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := p.eventually("it is back", func(s Status) bool { return s.Running && s.PID != 0 && s.PID != before.PID })
	if after.Keeper != before.Keeper {
		t.Errorf("%+v is back as %+v", before, after)
	}
	release()
	if err := syscall.Kill(after.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.eventually("one that nobody uses stays away", func(s Status) bool { return !s.Running && s.Keeper == 0 })
}

// TestF7_AStartWaitsUntilTheKeeperHasSeenTheAnswer: until then a daemon that ends is not
// started again.
func TestF7_AStartWaitsUntilTheKeeperHasSeenTheAnswer(t *testing.T) {
	p := newPlace(t)
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	lock, err := p.lockAsKeeper(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	daemon, err := net.Listen("unix", p.Address()) //nolint:noctx // closed below
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = daemon.Close() }()
	k := &keeper{engine: p.Engine, lock: lock}
	if err := k.writeNote(true); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*pause)
	defer cancel()
	if _, err := p.Start(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the keeper has seen it: %v", err)
	}
	if err := k.writeNote(false); err != nil {
		t.Fatal(err)
	}
	if started, err := p.Start(t.Context(), nil); err != nil || started {
		t.Errorf("after: started %t, %v", started, err)
	}
}

// TestF34_ADaemonWhoseSocketIsGoneIsReplaced: it would hold the root directory for ever.
func TestF34_ADaemonWhoseSocketIsGoneIsReplaced(t *testing.T) {
	p := newPlace(t)
	p.starts(0)
	before := p.status()
	if err := os.RemoveAll(p.state); err != nil {
		t.Fatal(err)
	}
	if !p.starts(0) {
		t.Error("nothing was started")
	}
	if after := p.status(); !after.Running || after.PID == before.PID {
		t.Errorf("%+v became %+v", before, after)
	}
	eventually(t, "the keeper of the directory that is gone ends", func() bool {
		start, err := startTime(before.Keeper)
		return err != nil || start == ""
	})
}

func TestAnEngineThatDoesNotStartSaysWhy(t *testing.T) {
	p := newPlace(t)
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	// Its metadata can't be opened.
	if err := os.MkdirAll(filepath.Join(p.root, "io.containerd.metadata.v1.bolt", "meta.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := p.Start(t.Context(), p.keeper(0))
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{p.root, p.state} {
		if err := os.Chmod(bad, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Use(t.Context()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), bad) {
			t.Errorf("with a %s that everybody may write: %v", bad, err)
		}
		if err := os.Chmod(bad, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	long := newEngine(filepath.Join(p.dir, strings.Repeat("x", 100)), p.libexec)
	if _, err := long.Use(t.Context()); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--run-root") {
		t.Errorf("with a long path: %v", err)
	}
}

// TestF23_OnlyTheDaemonOfTheseDirectoriesIsTakenForIt: not what another user calls so, nor
// one that has the same names for other places, as in a container.
func TestF23_OnlyTheDaemonOfTheseDirectoriesIsTakenForIt(t *testing.T) {
	p := newPlace(t)
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		arguments []string
		hides     string
		attr      syscall.SysProcAttr
		found     bool
	}{
		"ours":               {arguments: []string{"/x/containerd", "--config", p.config()}, found: true},
		"another name":       {arguments: []string{"/x/contained", "--config", p.config()}},
		"another file":       {arguments: []string{"/x/containerd", "--config", p.config() + "x"}},
		"another user's":     {arguments: []string{"/x/containerd", "--config", p.config()}, attr: syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}},
		"another directory":  {arguments: []string{"/x/containerd", "--config", p.config()}, hides: p.root, attr: syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}},
		"with more to it":    {arguments: []string{"/x/containerd", "--config", p.config(), "config", "dump"}},
		"in another session": {arguments: []string{"containerd", "--config", p.config()}, attr: syscall.SysProcAttr{Setsid: true}, found: true},
	} {
		t.Run(name, func(t *testing.T) {
			binary := p.copyOfTest(t)
			command := &exec.Cmd{Path: binary, Args: test.arguments, Env: []string{actsAs + "=daemon", hidesDir + "=" + test.hides}, SysProcAttr: &test.attr}
			output, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = command.Process.Kill()
				_ = command.Wait()
			}()
			if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatalf("it says %q, %v", line, err)
			}
			found, err := p.find()
			if err != nil {
				t.Fatal(err)
			}
			defer found.close()
			if (found != nil) != test.found || found != nil && found.pid != command.Process.Pid {
				t.Errorf("found %+v, want %v", found, test.found)
			}
		})
	}
}

// copyOfTest is this test's own binary where anybody may run it.
func (p *place) copyOfTest(t *testing.T) string {
	t.Helper()
	path := filepath.Join(p.dir, "test")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(path, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigQuotesPathsAndLeavesNoneOut(t *testing.T) {
	text, err := Config(`/a "b"\c`, "/s", "/s/x.sock")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`root = "/a \"b\"\\c"`, `state = "/s"`, `address = "/s/x.sock"`, `address = "/s/x.sock.ttrpc"`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing in:\n%s", line, text)
		}
	}
	if strings.Contains(text, "@") {
		t.Errorf("a place is empty:\n%s", text)
	}
}

func TestT53_TheLogTakesNoMoreThanTwiceItsBound(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(dir, "/none")
	if err := e.ReadLog(t.Context(), os.Stderr, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if err := os.MkdirAll(e.root, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := e.openLog() // a daemon's
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for range 3 {
		if _, err := fmt.Fprintf(file, "%s\nlast\n", strings.Repeat("x", maxLog)); err != nil {
			t.Fatal(err)
		}
		if err := e.shortenLog(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := file.WriteString("first\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var shown page
	ended := make(chan error, 1)
	go func() { ended <- e.ReadLog(ctx, &shown, true) }()
	eventually(t, "what is there", func() bool { return strings.HasSuffix(shown.String(), "\nlast\nfirst\n") })
	if size := len(shown.String()); size > 2*maxLog {
		t.Errorf("it takes %d bytes", size)
	}
	if _, err := file.WriteString("second\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what comes", func() bool { return strings.HasSuffix(shown.String(), "first\nsecond\n") })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
