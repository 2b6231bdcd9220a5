package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What a process that this test has started from its own binary is to be.
const (
	actsAs   = "ENGINE_TEST_ACTS_AS" // keeper, or a process that has the arguments of a daemon
	hidesDir = "ENGINE_TEST_HIDES"   // a directory that it mounts something else over
)

func TestMain(m *testing.M) {
	switch os.Getenv(actsAs) {
	case "keeper":
		os.Exit(keepForTest())
	case "daemon":
		if dir := os.Getenv(hidesDir); dir != "" {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		fmt.Println("ready")
		select {}
	}
	os.Exit(m.Run())
}

func keepForTest() int {
	var told orders
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := newEngine(told.Dir, told.Libexec).Keep(ctx, told.Idle); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// orders are what a keeper of this test reads.
type orders struct {
	Dir, Libexec string
	Idle         time.Duration
}

func newEngine(dir, libexec string) *Engine {
	return New(Options{Root: filepath.Join(dir, "lib"), RunRoot: filepath.Join(dir, "run"), Libexec: libexec})
}

// place is an engine with directories of its own; whatever it runs is ended with the test.
type place struct {
	*Engine
	t       *testing.T
	dir     string
	libexec string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	dir, err := os.MkdirTemp("", "engine") //nolint:usetesting // the path of t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	libexec, err := filepath.Abs("../libexec")
	if set := os.Getenv("CLAUDE_BOTTLE_TEST_LIBEXEC"); set != "" {
		libexec = set
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &place{Engine: newEngine(dir, libexec), t: t, dir: dir, libexec: libexec}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(p.Log())
			t.Logf("log of the engine:\n%s", text)
		}
		if err := p.Stop(context.Background(), true); err != nil {
			t.Errorf("stop the engine: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p
}

// keeper is a command that keeps the engine, as the program has one.
func (p *place) keeper(idle time.Duration) *exec.Cmd {
	command := exec.Command(os.Args[0]) //nolint:noctx // ended by Stop
	command.Env = []string{actsAs + "=keeper"}
	told, err := json.Marshal(orders{Dir: p.dir, Libexec: p.libexec, Idle: idle})
	if err != nil {
		p.t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(told)
	return command
}

// starts starts the engine, and lets go of it.
func (p *place) starts(idle time.Duration) bool {
	p.t.Helper()
	release, err := p.Use(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	defer release()
	started, err := p.Start(p.t.Context(), p.keeper(idle))
	if err != nil {
		p.t.Fatal(err)
	}
	return started
}

func (p *place) status() Status {
	p.t.Helper()
	status, err := p.Status()
	if err != nil {
		p.t.Fatal(err)
	}
	return status
}

// eventually waits until the status is as wanted.
func (p *place) eventually(what string, wanted func(Status) bool) (status Status) {
	p.t.Helper()
	eventually(p.t, what, func() bool {
		status = p.status()
		return wanted(status)
	})
	return status
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// page is what is written, to be looked at meanwhile.
type page struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *page) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(data)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}
