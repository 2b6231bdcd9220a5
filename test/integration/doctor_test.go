package integration

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/doctor"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// examined is what doctor says, by the names of its checks.
func examined(t *testing.T, r bottletest.Result) (checks map[string]doctor.Check, report doctor.Report) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("%v in %s\nstderr: %s", err, r.Stdout, r.Stderr)
	}
	checks = map[string]doctor.Check{}
	for _, check := range report.Checks {
		checks[check.Name] = check
	}
	if want := min(1, report.Count(doctor.Missing)); r.Code != want {
		t.Errorf("the code is %d, not %d: %s", r.Code, want, r.Stdout)
	}
	return checks, report
}

// diagnoses fails unless a check came out so, with that text in what was found.
func diagnoses(t *testing.T, checks map[string]doctor.Check, name string, status doctor.Status, found string) {
	t.Helper()
	if check := checks[name]; check.Status != status || !strings.Contains(check.Found, found) {
		t.Errorf("of %s it says %+v, not %s with %q", name, check, status, found)
	}
}

// TestT28_DoctorTriesEachRuntimeAndSaysNoSecret: the stand-in knows its version, and answers
// nothing.
func TestT28_DoctorTriesEachRuntimeAndSaysNoSecret(t *testing.T) {
	u := newUser(t, "2.4")
	command := u.Command("doctor", "--image", containerdtest.TestImage, "-o", "json")
	command.Env = append(command.Env, "CLAUDE_CODE_OAUTH_TOKEN="+bottletest.Key, "GITHUB_TOKEN="+bottletest.Key, "HTTPS_PROXY=http://"+bottletest.Key+"@127.0.0.1:9", "LC_ALL="+bottletest.Key)
	r := u.RunCommand(command)
	checks, _ := examined(t, r)
	diagnoses(t, checks, "runtime-gvisor", doctor.OK, "systrap")
	diagnoses(t, checks, "runtime-runc", doctor.OK, "a sandbox ran")
	diagnoses(t, checks, "claude-gvisor", doctor.Missing, "0.0.0 (fake claude) did not answer")
	diagnoses(t, checks, "claude-runc", doctor.Warning, "0.0.0 (fake claude) did not answer")
	for _, name := range []string{"socket", "containerd", "plugins", "snapshotter", "image", "credentials", "files", "disk-images", "leftovers", "controller"} {
		diagnoses(t, checks, name, doctor.OK, "")
	}
	if strings.Contains(r.Stdout+r.Stderr, bottletest.Key) {
		t.Errorf("a secret is in %s%s", r.Stdout, r.Stderr)
	}
	if requests := u.API.Requests(); len(requests) != 0 {
		t.Errorf("the user's API was asked %d times", len(requests))
	}
	if left := list(t, u); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}

func TestDoctorTellsBadSetUpsApart(t *testing.T) {
	old := newUser(t, "1.6")
	checks, _ := examined(t, old.Run("doctor", "--quick", "--image", containerdtest.TestImage, "-o", "json"))
	diagnoses(t, checks, "containerd", doctor.OK, "1.6")
	diagnoses(t, checks, "plugins", doctor.OK, "")
	diagnoses(t, checks, "snapshotter", doctor.OK, "overlayfs")

	u := newUser(t, "2.4")
	checks, _ = examined(t, u.Run("doctor", "--quick", "--image", "none.example/none:1", "-o", "json"))
	diagnoses(t, checks, "image", doctor.Missing, "none.example/none:1")
	u.Write("home/.claude-bottle/agents/tester.md", "---\nbotle: default\n---\n")
	checks, _ = examined(t, u.Run("doctor", "--quick", "-o", "json"))
	diagnoses(t, checks, "files", doctor.Missing, "agents/tester.md:2")

	dir, err := os.MkdirTemp("/run", "cb-test-") //nolint:usetesting // root's alone, with all above it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	open, file := filepath.Join(dir, "open.sock"), filepath.Join(dir, "file")
	listener, err := net.Listen("unix", open)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if err := errors.Join(os.Chmod(open, 0o666), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{filepath.Join(dir, "none.sock"): "does not exist", file: "is no socket", open: "everybody can write to it"} {
		checks, _ = examined(t, u.Run("--address", address, "doctor", "--quick", "-o", "json"))
		diagnoses(t, checks, "socket", doctor.Missing, want)
		diagnoses(t, checks, "containerd", doctor.Unknown, "")
		diagnoses(t, checks, "runtime-gvisor", doctor.Unknown, "")
	}
}

func TestT1_DoctorNamesRuntimesThatAreNone(t *testing.T) {
	runc := tool(t, "runc")
	u := installed(t, "2.4", map[string]string{
		"runc":  "#!/bin/sh\n[ \"$1\" = --version ] && exec echo runc version 1.1.5\nexec " + runc + " \"$@\"\n",
		"runsc": "#!/bin/sh\nexec " + runc + " \"$@\"\n",
	})
	checks, _ := examined(t, u.Run("doctor", "--image", containerdtest.TestImage, "-o", "json"))
	diagnoses(t, checks, "runtime-gvisor", doctor.Missing, "not in gVisor")
	diagnoses(t, checks, "runtime-runc", doctor.Warning, "1.1.5")
	diagnoses(t, checks, "claude-gvisor", doctor.Unknown, "not tried")
	diagnoses(t, checks, "claude-runc", doctor.Unknown, "known ways out")
}

// TestF4_DoctorThatIsEndedTakesItsBottlesAlong: the signal comes while one is there. One that
// comes after the last is of no use: then it is tried again.
func TestF4_DoctorThatIsEndedTakesItsBottlesAlong(t *testing.T) {
	u := newUser(t, "2.4")
	for range 10 {
		s := u.OnTerminal("doctor", "--image", containerdtest.TestImage)
		bottletest.Eventually(t, "a bottle of the doctor's, or its end", func() bool {
			bottles, err := filepath.Glob(filepath.Join(u.RunRoot, "*", "bottles", "doctor-*"))
			return len(bottles) > 0 || err != nil || strings.Contains(s.Text(), " unknown\r\n")
		})
		if err := s.Process.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		code := s.Ends()
		if left := u.Left(); left != "" {
			t.Errorf("left behind:\n%s", left)
		}
		bottletest.Contains(t, s.Text(), "\x1b[32mok     \x1b[m   containerd ")
		if code == 130 {
			return
		}
		if code != 1 {
			t.Fatalf("it ended with %d: %s", code, s.Text())
		}
	}
	t.Error("no signal came in time")
}

func TestDoctorMendsWhatItCan(t *testing.T) {
	u := newUser(t, "2.4")
	state, run := dead(t, u, "runc", "tester")
	key := filepath.Dir(filepath.Dir(state))
	if err := errors.Join(os.Chmod(key, 0o777), os.WriteFile(filepath.Join(key, "verdicts.json"), []byte(`{"stale": {}}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	checks, _ := examined(t, u.Run("doctor", "--quick", "-o", "json"))
	diagnoses(t, checks, "directories", doctor.Missing, "writable by others")
	r := u.Run("doctor", "--fix", "--quick", "-o", "json")
	checks, _ = examined(t, r)
	diagnoses(t, checks, "directories", doctor.OK, "")
	diagnoses(t, checks, "leftovers", doctor.Warning, "of dead bottles (1)")
	bottletest.Contains(t, r.Stderr, "closed "+key, "no more: 1", "only a yes on a terminal, or --yes")
	checks, report := examined(t, u.Run("doctor", "--fix", "--yes", "--quick", "-o", "json"))
	diagnoses(t, checks, "leftovers", doctor.OK, "")
	if len(report.Mended) != 1 || !strings.Contains(report.Mended[0], "removed what dead bottles left") {
		t.Errorf("it has done %q", report.Mended)
	}
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", run, err)
	}
	if work := u.Work("work.txt"); work != "work\n" {
		t.Errorf("the work is %q", work)
	}

	does(u, echoes)
	u.Run("--no-controller", "start", "tester", "--yes", "--quiet", "--detach", "--runtime", "runc").Want(t, 0)
	checks, _ = examined(t, u.Run("--no-controller", "doctor", "--fix", "--quick", "-o", "json"))
	diagnoses(t, checks, "controller", doctor.Warning, "none watches over 1 detached")
	diagnoses(t, checks, "versions", doctor.OK, "stay with bottles: 1,")
	program := filepath.Join(t.TempDir(), "bin", "claude-bottle")
	for _, name := range []string{"claude-bottle", "bottle-init"} {
		copyFile(t, filepath.Join(filepath.Dir(u.Binary), name), filepath.Join(filepath.Dir(program), name))
	}
	another := u.Command("doctor", "--quick", "-o", "json")
	another.Path = program
	checks, _ = examined(t, u.RunCommand(another))
	diagnoses(t, checks, "versions", doctor.Warning, "tester (process")
	_, report = examined(t, u.Run("doctor", "--fix", "--quick", "-o", "json"))
	if len(report.Mended) != 1 || !strings.Contains(report.Mended[0], "started a controller") {
		t.Errorf("it has done %q", report.Mended)
	}
	u.Run("stop", "tester").Want(t, 0)
}
