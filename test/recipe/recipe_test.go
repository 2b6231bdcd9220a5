// Package recipe makes an image of Debian's packages, from the mirror that this host's own
// apt uses. `make recipe` runs it: the mirror may be far away.
package recipe

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// TestAnImageOfDebiansPackagesIsAWholeSystem, the same under gVisor and under runc.
func TestAnImageOfDebiansPackagesIsAWholeSystem(t *testing.T) {
	uris, err := exec.CommandContext(t.Context(), "apt-get", "update", "--print-uris").Output()
	if err != nil {
		t.Fatal(err)
	}
	mirror := regexp.MustCompile(`'(https?://[^' ]+)/dists/bookworm/InRelease'`).FindSubmatch(uris)
	if mirror == nil {
		t.Fatalf("this host has no mirror of Debian 12 among\n%s", uris)
	}
	daemon, err := containerdtest.Launch(containerdtest.Options{Version: "2.4"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Close(); err != nil {
			t.Error(err)
		}
	})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	u.Write("project/small.yaml", `from: debootstrap:bookworm
run: ['test -z "$(dpkg --audit)"; ! dpkg -l | tail -n +6 | grep -v ^ii; perl -e "print qq(perl says so\n)"; getent passwd _apt; apt-get --version; find / -xdev -type f -perm /6000 | sed "s/^/marked: /"']
`)
	build := func(runtime string, more ...string) (backend.BuildResult, bottletest.Result) {
		r := u.Run(append([]string{"image", "build", "-f", "small.yaml", "--name", "local.test/small:1", "--runtime", runtime, "--debian-mirror", string(mirror[1]), "-o", "json"}, more...)...)
		var result backend.BuildResult
		if err := json.Unmarshal([]byte(r.Want(t, 0).Stdout), &result); err != nil {
			t.Fatal(err)
		}
		return result, r
	}
	first, r := build("gvisor")
	bottletest.Contains(t, r.Stderr, "Debian's packages are unpacked", "perl says so", "_apt:x:")
	if regexp.MustCompile("marked: /").MatchString(r.Stderr) {
		t.Errorf("files are setuid: %s", r.Stderr)
	}
	if again, _ := build("gvisor"); again.Built != 0 || again.Digest != first.Digest {
		t.Errorf("the second build made %+v, the first one %s", again, first.Digest)
	}
	if other, _ := build("runc", "--no-cache"); other.Built != 2 || other.Digest != first.Digest {
		t.Errorf("runc made %+v, gVisor %s", other, first.Digest)
	}
}
