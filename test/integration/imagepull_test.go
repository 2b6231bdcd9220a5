package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/registrytest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

func TestPullsLogInAsDockerDoes(t *testing.T) {
	const password = "canary-of-the-registry"
	source := newUser(t, "2.4").Daemon
	registry := registrytest.StartWithLogin(t, "somebody", password)
	digest := registry.Push(t, source, bottletest.Namespace, containerdtest.TestImage, "tools/claude:1")
	u := ownDaemon(t)
	reference := registry.Address + "/tools/claude:1"
	says := func(text string) { u.Write("home/.docker/config.json", text) }
	never := func(r bottletest.Result) bottletest.Result {
		t.Helper()
		if strings.Contains(r.Stdout+r.Stderr, password) {
			t.Errorf("the password is told: %s%s", r.Stdout, r.Stderr)
		}
		return r
	}
	bottletest.Contains(t, u.Run("image", "pull", reference).Want(t, 1).Stderr, reference, "can't be pulled", "docker login")
	says(`{"auths": {"` + registry.Address + `": {"username": "somebody", "password": "wrong"}}}`)
	bottletest.Contains(t, never(u.Run("image", "pull", reference)).Want(t, 1).Stderr, "can't be pulled", "401")
	bottletest.Contains(t, u.Start("runc", "--image", reference).Want(t, 125).Stderr, "can't be asked", "401")
	nothingCreated(t, u)
	// What is too large is refused, packed or unpacked, and leaves nothing.
	login := `{"auths": {"` + registry.Address + `": {"username": "somebody", "password": "` + password + `"}}}`
	says(login)
	for _, most := range []string{"512Ki", "1536Ki"} {
		bottletest.Contains(t, u.Run("image", "pull", "--max-size", most, reference).Want(t, 1).Stderr, "--max-size")
		nothingCreated(t, u)
	}

	// By a helper, a layer a line.
	bin := t.TempDir()
	helper := "#!/bin/sh\nread server; echo \"$1 $server\" >> " + bin + "/asked\necho '{\"Username\":\"somebody\",\"Secret\":\"" + password + "\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helper), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	says(`{"credHelpers": {"` + registry.Address + `": "test"}}`)
	pull := u.Command("image", "pull", reference)
	pull.Env = append(pull.Env, "PATH="+bin+":/usr/bin:/bin")
	r := never(u.RunCommand(pull)).Want(t, 0)
	if r.Stdout != reference+"@"+digest+"\n" || strings.ContainsAny(r.Stderr, "\r\x1b") {
		t.Errorf("said is %q, and %q", r.Stdout, r.Stderr)
	}
	short := strings.TrimPrefix(layer(t, digest), "sha256:")[:12]
	bottletest.Contains(t, r.Stderr, "pulling "+reference+"\n", short+": ", "unpacking")
	if asked := contentOf(t, filepath.Join(bin, "asked")); !strings.Contains(asked, "get "+registry.Address+"\n") || strings.Contains(asked, "store") {
		t.Errorf("the helper was asked: %s", asked)
	}

	// start has the same logins; $DOCKER_CONFIG names the directory.
	u.Run("image", "rm", reference).Want(t, 0)
	says("{}")
	u.Write("logins/config.json", login)
	does(u, "echo hello; env")
	start := u.Command("start", "tester", "--yes", "--runtime", "runc", "--image", reference)
	start.Env = append(start.Env, "DOCKER_CONFIG="+filepath.Join(filepath.Dir(u.Home), "logins"))
	bottletest.Contains(t, never(u.RunCommand(start)).Want(t, 0).Stdout, "hello")
	idle(t, u)
	bottletest.Contains(t, u.Run("image", "pull", "--platform", "linux/s390x", reference).Want(t, 1).Stderr, "linux/s390x", "this host is")

	// A mirror that stands in the directory of hosts; its login is its own.
	u.Run("image", "rm", reference).Want(t, 0)
	says(login)
	u.Write("hosts/registry.invalid/hosts.toml", "server = \"https://registry.invalid\"\n[host.\"http://"+registry.Address+"\"]\ncapabilities = [\"pull\", \"resolve\"]\n")
	hosts := filepath.Join(filepath.Dir(u.Home), "hosts")
	r = u.Run("image", "pull", "--hosts-dir", hosts, "registry.invalid/tools/claude@"+digest).Want(t, 0)
	if r.Stdout != "registry.invalid/tools/claude@"+digest+"\n" {
		t.Errorf("pulled is %q", r.Stdout)
	}
	u.Run("image", "pull", "--hosts-dir", hosts+"/none", reference).Want(t, 2)
}

// offset is how much has come of a transfer.
func offset(u *bottletest.User, ingest string) int64 {
	status, err := u.Daemon.Client().ContentStore().Status(namespaces.WithNamespace(u.Context(), bottletest.Namespace), ingest)
	if err != nil {
		return 0
	}
	return status.Offset
}

func TestAPullThatWasCutGoesOn(t *testing.T) {
	u, registry, _, digest := puller(t, "2.4")
	gate := make(chan struct{})
	var mu sync.Mutex
	var ranges []string
	blob := layer(t, digest)
	address := front(t, registry, nil, func(answer *http.Response) error {
		if answer.Request.Method == http.MethodGet && strings.HasSuffix(answer.Request.URL.Path, "/blobs/"+blob) {
			mu.Lock()
			defer mu.Unlock()
			ranges = append(ranges, answer.Request.Header.Get("Range"))
			answer.Body = &held{ReadCloser: answer.Body, left: answer.ContentLength, gate: gate}
		}
		return nil
	})
	letGo := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(letGo)
	reference := address + "/tools/claude:1"
	for _, strike := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		s := u.OnTerminal("image", "pull", reference)
		s.Shows("MiB of")
		bottletest.Eventually(t, "most of it has come", func() bool { return offset(u, "layer-"+blob) > 500_000 })
		if err := s.Process.Process.Signal(strike); err != nil {
			t.Fatal(err)
		}
		if code := s.Ends(); strike == syscall.SIGINT && code != 130 {
			t.Errorf("exit code %d", code)
		}
	}
	if names := stored(t, u); len(names) > 0 {
		t.Errorf("there are images: %v", names)
	}
	plan := u.Run("image", "prune", "--dry-run").Want(t, 0).Stdout
	bottletest.Contains(t, plan, "remove what 2 pulls or imports have left that were cut (")
	letGo()
	bottletest.Contains(t, u.Run("image", "pull", reference).Want(t, 0).Stdout, reference+"@"+digest)
	mu.Lock()
	last := ranges[len(ranges)-1]
	mu.Unlock()
	if !strings.HasPrefix(last, "bytes=") || strings.HasPrefix(last, "bytes=0-") {
		t.Errorf("the layer was asked for by %q", ranges)
	}
	u.Run("image", "rm", reference).Want(t, 0)
	nothingCreated(t, u)
}

// killedImport is an import that was killed while it waited for more than this.
func killedImport(t *testing.T, u *bottletest.User, begun []byte) {
	t.Helper()
	command := u.Command("image", "import", "-")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(begun); err != nil {
		t.Fatal(err)
	}
	bottletest.Eventually(t, "a transfer is under way", func() bool { return strings.Contains(u.Left(), "ingest ") })
	_ = command.Process.Kill()
	_ = command.Wait()
}

func TestWhatACutImportOrPullLeavesIsDropped(t *testing.T) {
	u, registry, _, digest := puller(t, "2.4")
	// An import that waits for more.
	data := []byte(contentOf(t, filepath.Join(u.Daemon.Libexec, "images", "test.tar")))
	killedImport(t, u, data[:900<<10])
	if left := u.Left(); !strings.Contains(left, "lease ") {
		t.Errorf("left is %q", left)
	}
	u.Run("image", "import", filepath.Join(u.Daemon.Libexec, "images", "test.tar")).Want(t, 0)
	u.Run("image", "rm", containerdtest.TestImage).Want(t, 0)
	nothingCreated(t, u)

	// A pull of which something came, and that nobody goes on with.
	address, _ := slowly(t, registry, digest)
	s := u.OnTerminal("image", "pull", address+"/tools/claude:1")
	s.Shows("MiB of")
	_ = s.Process.Process.Kill()
	s.Ends()
	bottletest.Contains(t, u.Run("image", "prune", "--yes").Want(t, 0).Stdout, "remove what 1 pulls or imports", "freed")
	nothingCreated(t, u)
}
