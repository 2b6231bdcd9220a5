package integration

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// recipeOf is a bottle file with a recipe of the test image. The nonce makes steps that
// no other test has left behind.
func recipeOf(nonce string, lines ...string) string {
	quoted, _ := json.Marshal(append([]string{"echo " + nonce + " > /nonce"}, lines...))
	return "---\nimage:\n  from: " + containerdtest.TestImage + "\n  files: [{from: tool.sh, to: /usr/local/bin/tool, mode: '0755'}]\n" +
		"  env: {GREETING: hello}\n  run: " + string(quoted) + "\n---\n"
}

// built is what image build says on its standard output.
func built(t *testing.T, r bottletest.Result) backend.BuildResult {
	t.Helper()
	var result backend.BuildResult
	if err := json.Unmarshal([]byte(r.Want(t, 0).Stdout), &result); err != nil {
		t.Fatalf("%v: it printed %s", err, r.Stdout)
	}
	return result
}

// TestT3_TestT9_AnImageIsBuiltByARecipeStepByStep: what is built runs; what has not changed
// is not built again; the other runtime makes the very same image.
func TestT3_TestT9_AnImageIsBuiltByARecipeStepByStep(t *testing.T) {
	u := newUser(t, "2.4")
	nonce := rand.Text()
	write := func(lines ...string) {
		u.Write("home/.claude-bottle/bottles/built.md", recipeOf(nonce, lines...))
	}
	u.Write("home/.claude-bottle/bottles/tool.sh", "#!/bin/sh\necho tool says $GREETING\n")
	const hostile = "id -u; grep CapEff /proc/self/status; tool > /said; cp /bin/busybox /su; chmod 4755 /su; mknod /disk b 8 0 || echo no device; " +
		"ln -s /etc/shadow /usr/share; nslookup evil.example || echo refused"
	write(hostile)
	build := func(runtime string, more ...string) bottletest.Result {
		return u.Run(append([]string{"image", "build", "built", "--runtime", runtime, "-o", "json"}, more...)...)
	}
	r := build("gvisor")
	first := built(t, r)
	bottletest.Contains(t, r.Stderr, "\n0\nCapEff:\t00000000000400db\n", "no device", "refused",
		"step 3 asked for evil.example: denied; add it under egress.allow", "setuid and setgid bits mean nothing in a bottle and are gone: /su")
	if first.Built != 3 || first.Cached != 0 {
		t.Errorf("%d steps ran, %d were cached", first.Built, first.Cached)
	}
	refusedIn(t, first.Audit, "evil.example")
	if again := built(t, build("gvisor")); again.Built != 0 || again.Cached != 3 || again.Digest != first.Digest {
		t.Errorf("the second build made %+v, the first one %s", again, first.Digest)
	}
	if other := built(t, build("runc", "--no-cache", "--name", "local.test/"+strings.ToLower(nonce)+":1")); other.Built != 3 || other.Digest != first.Digest {
		t.Errorf("runc made %+v, gVisor %s", other, first.Digest)
	}
	write(hostile, "echo more > /more")
	if more := built(t, build("runc")); more.Built != 1 || more.Cached != 3 {
		t.Errorf("with a step more it made %+v", more)
	}
	does(u, "cat /nonce /said /more; ls -l /su /disk; readlink /usr/share")
	said := u.Start("gvisor", "--image", first.Name).Want(t, 0).Stdout
	bottletest.Contains(t, said, nonce+"\ntool says hello\nmore\n", "-rwxr-xr-x", "/etc/shadow")
	if strings.Contains(said, " /disk\n") {
		t.Errorf("a device is in the image: %s", said)
	}
}

// refusedIn wants the host among those of the logs in that directory, refused.
func refusedIn(t *testing.T, directory, host string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(directory, "*.jsonl"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("the logs are %v, %v", logs, err)
	}
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var event egress.Event
			if json.Unmarshal(line, &event) == nil && event.Host == host && !event.Allowed {
				return
			}
		}
	}
	t.Errorf("%s is in none of %v", host, logs)
}

// TestF1_TestT50_TestT52_ABuildThatIsCutGoesOnWhereItWas: what a step takes is bounded; a
// build that is killed leaves nothing but the steps that it has finished.
func TestF1_TestT50_TestT52_ABuildThatIsCutGoesOnWhereItWas(t *testing.T) {
	u := newUser(t, "2.4")
	u.Write("home/.claude-bottle/bottles/tool.sh", "#!/bin/sh\n")
	nonce := rand.Text()
	for line, want := range map[string]string{
		"echo begun; exit 7": "step 3 of claude-bottle.localhost/built:latest: it ended with code 7",
		"i=0; while [ $i -lt 100 ]; do sleep 300 & i=$((i+1)); done 2>/dev/null": "step 3 of claude-bottle.localhost/built:latest: it ended with code",
		"truncate -s 99M /a; truncate -s 99M /b; truncate -s 99M /c":             "the files of the step are more than",
	} {
		u.Write("home/.claude-bottle/bottles/built.md", recipeOf(nonce, line))
		bottletest.Contains(t, u.Run("image", "build", "built", "--disk", "64Mi", "--processes", "64").Want(t, 1).Stderr, want)
	}
	u.Write("home/.claude-bottle/bottles/built.md", recipeOf(nonce, "echo here; sleep 300"))
	command := u.Command("image", "build", "built")
	said, err := os.Create(filepath.Join(u.Home, "said"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	bottletest.Eventually(t, "the step runs", func() bool {
		data, err := os.ReadFile(said.Name())
		return err == nil && strings.Contains(string(data), "\nhere\n")
	})
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	u.Write("home/.claude-bottle/bottles/built.md", recipeOf(nonce, "true"))
	// One that is killed while it makes a layer leaves a lease besides.
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	owners, err := filepath.Glob(filepath.Join(u.RunRoot, "*", "bottles"))
	if err != nil || len(owners) != 1 {
		t.Fatalf("the run directories are %v, %v", owners, err)
	}
	leave := func() {
		if _, err := u.Daemon.Client().LeasesService().Create(ctx, leases.WithRandomID(), leases.WithLabel("claude-bottle.dev/build", filepath.Dir(owners[0]))); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	bottletest.Eventually(t, "the bottle of the step is gone", func() bool { return len(u.Supervisors()) == 0 })
	bottletest.Contains(t, u.Run("cleanup", "--dry-run").Want(t, 0).Stdout, "it was killed while it made a layer")
	u.Run("cleanup", "--yes").Want(t, 0)
	bottletest.Contains(t, u.Run("cleanup", "--dry-run").Want(t, 0).Stdout, "Nothing to clean up")
	leave()
	if result := built(t, u.Run("image", "build", "built", "-o", "json")); result.Built != 1 || result.Cached != 2 {
		t.Errorf("after a kill it made %+v", result)
	}
}

// TestImageBuildSaysWhatIsWrong: nothing is begun by what can't be understood.
func TestImageBuildSaysWhatIsWrong(t *testing.T) {
	u := newUser(t, "1.6")
	u.Write("project/recipe.yaml", "from: "+containerdtest.TestImage+"\nrun: [true]\n")
	u.Write("project/typo.yaml", "from: x\npackage: [a]\n")
	u.Write("project/out.yaml", "from: "+containerdtest.TestImage+"\nfiles: [{from: ../secret, to: /x}]\n")
	u.Write("project/link.yaml", "from: "+containerdtest.TestImage+"\nfiles: [{from: link, to: /x}]\n")
	if err := os.Symlink("/etc/shadow", filepath.Join(u.Cwd, "link")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"default -f recipe.yaml", 2, "name a bottle, or a file with -f: not both"},
		{"default", 1, "bottle default has no recipe"},
		{"defaul", 1, "did you mean default?"},
		{"-f recipe.yaml", 2, "--name says what the image of a file is to be called"},
		{"-f recipe.yaml --name a@sha256:00", 1, "a@sha256:00"},
		{"-f typo.yaml --name a:1", 1, "typo.yaml:2: unknown key package: did you mean packages?"},
		{"-f out.yaml --name a:1", 1, "from must be a path below the recipe's directory"},
		{"-f link.yaml --name a:1", 1, "files: link: "},
		{"-f Dockerfile --name a:1", 1, "Dockerfile: no such file or directory"},
		{"-f recipe.yaml --name a:1 --disk much", 2, "--disk"},
		{"-f recipe.yaml --name a:1 --runtime runc", 1, "an image is built under gVisor, or in a user namespace"},
	} {
		r := u.Run(append([]string{"image", "build"}, strings.Fields(test.args)...)...)
		if r.Code != test.code || !strings.Contains(r.Stderr, test.want) {
			t.Errorf("image build %s: code %d, want %d: %s", test.args, r.Code, test.code, r.Stderr)
		}
	}
	result := built(t, u.Run("image", "build", "-f", "recipe.yaml", "--name", fmt.Sprintf("local.test/%s:1", strings.ToLower(rand.Text())), "--runtime", "gvisor", "-o", "json"))
	if result.Digest == "" {
		t.Errorf("under containerd 1.6 it made %+v", result)
	}
}
