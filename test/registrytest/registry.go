// Package registrytest gives a test an image registry of its own: Debian's
// docker-registry on a free port of the loopback interface, with its data in the
// test's temporary directory. It knows containerd and nothing of bottles; no
// program imports it.
package registrytest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/crypto/bcrypt"
)

// Bounds of the registry's life.
const (
	startTimeout = 2 * time.Minute
	pushTimeout  = 5 * time.Minute
)

// Registry is a running registry.
type Registry struct {
	// Address is its host and port, as references begin.
	Address string

	user, password string

	data    string
	command *exec.Cmd
	exited  chan struct{}
	stop    sync.Once
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// Start starts an empty registry. It ends with the test.
func Start(t testing.TB) *Registry {
	t.Helper()
	return start(t, "", "")
}

// StartWithLogin starts one that only this user may speak to.
func StartWithLogin(t testing.TB, user, password string) *Registry {
	t.Helper()
	return start(t, user, password)
}

func start(t testing.TB, user, password string) *Registry {
	t.Helper()
	libexec, err := containerdtest.Libexec()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &Registry{user: user, password: password, data: filepath.Join(dir, "data"), exited: make(chan struct{})}
	config := filepath.Join(dir, "config.yml")
	// The kernel picks the port, so that no two tests want the same one.
	text := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: \"127.0.0.1:0\"}\n", r.data)
	if user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		logins := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(logins, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", logins)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	r.command = exec.Command(filepath.Join(libexec, "docker-registry"), "serve", config) //nolint:noctx // ended by Stop
	r.command.Env = []string{"PATH=/usr/bin:/bin"}
	r.command.Stdout, r.command.Stderr = log, log
	// It goes with the test, whatever happens to the test.
	r.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	err = r.run()
	_ = log.Close() // the registry has it
	if err != nil {
		t.Fatalf("start docker-registry (hack/setup.sh tools makes it): %v", err)
	}
	t.Cleanup(r.Stop)
	r.awaitAddress(t, log.Name())
	return r
}

// run starts the command from a thread that lives as long as the command does:
// the parent-death signal comes when that thread ends.
func (r *Registry) run() error {
	started := make(chan error, 1)
	go func() {
		goruntime.LockOSThread()
		defer close(r.exited)
		err := r.command.Start()
		started <- err
		if err == nil {
			_ = r.command.Wait() // killed
		}
	}()
	return <-started
}

// awaitAddress reads from the log where the registry listens.
func (r *Registry) awaitAddress(t testing.TB, log string) {
	t.Helper()
	deadline := time.After(startTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if found := listening.FindSubmatch(text); found != nil {
			r.Address = string(found[1])
			return
		}
		select {
		case <-r.exited:
			t.Fatalf("docker-registry ended at once, saying:\n%s", text)
		case <-deadline:
			t.Fatalf("docker-registry does not listen within %s, saying:\n%s", startTimeout, text)
		case <-tick.C:
		}
	}
}

// Stop ends the registry. A second call does nothing.
func (r *Registry) Stop() {
	r.stop.Do(func() {
		_ = r.command.Process.Kill()
		<-r.exited
	})
}

// Push puts an image of the daemon into the registry, as name:tag, and returns
// its digest.
func (r *Registry) Push(t testing.TB, daemon *containerdtest.Daemon, namespace, image, name string) (digest string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(t.Context(), namespace), pushTimeout)
	defer cancel()
	found, err := daemon.Client().GetImage(ctx, image)
	if err != nil {
		t.Fatal(err)
	}
	logins := docker.WithAuthCreds(func(string) (string, string, error) { return r.user, r.password, nil })
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost), docker.WithAuthorizer(docker.NewDockerAuthorizer(logins))),
	})
	if err := daemon.Client().Push(ctx, r.Address+"/"+name, found.Target(), containerd.WithResolver(resolver)); err != nil {
		t.Fatalf("push %s: %v", name, err)
	}
	return found.Target().Digest.String()
}

// Blob is the file that the registry keeps a digest's bytes in.
func (r *Registry) Blob(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(r.data, "docker", "registry", "v2", "blobs", "sha256", hex[:2], hex, "data")
}
