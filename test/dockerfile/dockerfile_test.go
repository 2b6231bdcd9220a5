// Package dockerfile has BuildKit itself build images for bottles. It takes tools that are
// slow to build, so that `make dockerfile` runs it, and `make test` does not.
package dockerfile

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/registrytest"
)

// launch starts buildkitd and returns its address. It ends with the test.
func launch(t *testing.T, libexec, registry string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "buildkit") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove BuildKit's directory: %v", err)
		}
	})
	config := filepath.Join(dir, "buildkitd.toml")
	if err := os.WriteFile(config, []byte("[registry.\""+registry+"\"]\n  http = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the daemon has it
	socket := filepath.Join(dir, "d.sock")
	command := exec.Command(filepath.Join(libexec, "buildkit", "buildkitd"), "--addr=unix://"+socket, "--root="+filepath.Join(dir, "root"), "--config="+config, //nolint:noctx // ended by the clean-up
		"--oci-worker-binary="+filepath.Join(libexec, "runc"), "--oci-worker-net=host", "--containerd-worker=false")
	command.Env = []string{"PATH=" + libexec + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "TMPDIR=" + dir}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error, 1), make(chan struct{})
	go func() { // the thread's death is what sends the signal
		runtime.LockOSThread()
		defer close(exited)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // ended below
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start buildkitd (hack/setup.sh buildkit makes it): %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("buildkitd said:\n%s", text)
		}
	})
	bottletest.Eventually(t, "buildkitd answers", func() bool {
		connection, err := net.Dial("unix", socket) //nolint:noctx // the socket is this host's
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return "unix://" + socket
}

// TestBuildKitBuildsTheImageOfABottle: arguments, a stage, files of the context without
// those of .dockerignore; and nothing is lent that a Dockerfile may ask for.
func TestBuildKitBuildsTheImageOfABottle(t *testing.T) {
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	registry := registrytest.Start(t)
	registry.Push(t, daemon, bottletest.Namespace, containerdtest.TestImage, "test:1")
	address := launch(t, daemon.Libexec, registry.Address)
	run := func(args ...string) bottletest.Result {
		command := u.Command(args...)
		command.Env = append(command.Env, "PATH="+filepath.Join(daemon.Libexec, "buildkit")+":/usr/bin:/bin", "BUILDKIT_HOST="+address)
		return u.RunCommand(command)
	}
	u.Write("home/web/Dockerfile", strings.ReplaceAll(`FROM REGISTRY/test:1 AS tools
ARG WORDS
ENV LD_PRELOAD=/evil.so
VOLUME /data
RUN echo "said: $WORDS" > /said
COPY . /context
FROM tools AS more
RUN touch /too-much
FROM tools AS hungry
RUN --mount=type=secret,id=key,required=true cat /run/secrets/key
FROM tools AS strong
RUN --security=insecure true
`, "REGISTRY", registry.Address))
	u.Write("home/web/.dockerignore", "secret\n")
	u.Write("home/web/secret", "canary")
	u.Write("home/web/plain", "plain")
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: {dockerfile: ~/web/Dockerfile, target: tools, args: {WORDS: 'a, b = c'}}\nruntime: runc\n"+
		"env: {FAKE_CLAUDE_RUN: 'cat /said; ls /context /; env'}\n---\n")
	r := run("start", "tester", "--yes").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "said: a, b = c\n", "plain\n")
	bottletest.Contains(t, r.Stderr, "not in a bottle", "#")
	for _, word := range []string{"secret", "too-much", "LD_PRELOAD", "data"} {
		if strings.Contains(r.Stdout, word) {
			t.Errorf("%s is in the bottle:\n%s", word, r.Stdout)
		}
	}
	again := run("image", "build", "default", "-o", "json").Want(t, 0)
	bottletest.Contains(t, again.Stderr, "CACHED")
	for target, want := range map[string]string{"hungry": "secret key: not found", "strong": "BuildKit says"} {
		bottletest.Contains(t, run("image", "build", u.Home+"/web", "-t", "local.test/x:1", "--target", target).Want(t, 1).Stderr, want)
	}
	u.Run("image", "rm", "claude-bottle.localhost/default:latest").Want(t, 0)
}
